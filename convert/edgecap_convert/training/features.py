"""Features that are computed once: the encoder's grids of a pool of items, on disk.

A frozen encoder gives the same grid for the same frame in every epoch, so each frame is read and
encoded once, and the recurrent stage takes minutes instead of hours. Grids are kept as float16 (an
int8 encoder rounds 100 times more coarsely), one file an item, named by what it holds: frames and
augmentation (``PoolEntry.key``) and encoder. Equal names, equal contents, so runs and folds share
them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edgecap.durable import write_atomically
from edgecap.evaluation import Recording
from edgecap_convert.data import Item, PoolEntry, Recordings
from edgecap_convert.data.sequences import JOIN_PROBABILITY
from edgecap_convert.models.network import Network

Grids = npt.NDArray[np.float16]
_VERSION = 1
_log = logging.getLogger(__name__)


class FeatureStore:
    """Grids by the key of their frames.

    Args:
      folder: the place for this encoder's grids; made when the first are written.
      encode: images → grids.
      limit_bytes: what is above is not kept, but computed anew each time.
    """

    def __init__(
        self,
        folder: Path,
        encode: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]],
        *,
        limit_bytes: int,
    ) -> None:
        self._folder, self._encode = folder, encode
        self._left = limit_bytes
        self._counted: set[str] = set()

    def grids(self, key: str, images: Callable[[], npt.NDArray[np.uint8]]) -> Grids:
        """The grids of the frames that ``key`` names; read from disk, or computed and kept.

        Returns:
          ``(N, H', W', C)`` float16; mapped, not loaded, where they come from disk.
        """
        path = self._folder / key[:2] / f"{key}.npy"
        kept = map_array(path)
        if kept is not None:
            self._count(key, kept.nbytes)
            return kept
        made = self._encode(images()).astype(np.float16)
        if self._count(key, made.nbytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, npy(made))
            return map_array(path) if len(made) else made  # type: ignore[return-value]
        return made

    def keeps(self, key: str) -> bool:
        """Whether grids that were asked for before are on disk now."""
        return key in self._counted

    def _count(self, key: str, size: int) -> bool:
        """Whether there is room; takes it, once for each key."""
        if key in self._counted:
            return True
        if size > self._left:
            return False
        self._counted.add(key)
        self._left -= size
        return True


class PooledItems:
    """Draws items of a pool, from each stratum equally often; their inputs are grids.

    Args:
      entries: the pool.
      store: has the grids, or makes them.
    """

    def __init__(self, entries: Sequence[PoolEntry], store: FeatureStore) -> None:
        strata: dict[int, list[PoolEntry]] = {}
        for entry in entries:
            strata.setdefault(entry.stratum, []).append(entry)
        self._strata = list(strata.values())
        self._entries, self._store = entries, store

    def fill(self, begin: float = 0.0) -> None:
        """Computes what is not there yet, with progress.

        Args:
          begin: at which share of the items, so that workers with a common folder meet late.
        """
        first = round(begin * len(self._entries))
        entries = [*self._entries[first:], *self._entries[:first]]
        with tqdm(entries, desc=" features", unit="item") as bar:
            for entry in bar:
                self._store.grids(entry.key, entry.images)
                if not self._store.keeps(entry.key):
                    _log.warning(
                        "the cache for features is full: of some items they are computed whenever "
                        "they are needed; raise cache_gb, or lower pool_limit"
                    )
                    break

    def look(self, see: Callable[[Grids], npt.NDArray[np.float32]]) -> SeenItems:
        """The same items as an attending neck sees them: a few numbers a frame, in memory."""
        with tqdm(self._entries, desc="  looking", unit="item") as bar:
            seen = {e.key: see(self._store.grids(e.key, e.images)) for e in bar}
        return SeenItems(self._strata, seen)

    @property
    def strata(self) -> Sequence[Sequence[PoolEntry]]:
        """The entries, by what they are drawn from equally often."""
        return self._strata

    def grids(self, entry: PoolEntry) -> Grids:
        """The encoder's grids of an entry's frames."""
        return self._store.grids(entry.key, entry.images)

    def deviation(self) -> float:
        """The mean deviation of the grids' values, of some items."""
        grids = (self.grids(entry) for entry in spread(self._strata, 16))
        return float(np.mean([array.astype(np.float32).std() for array in grids]))

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """See ``edgecap_convert.data.sequences.Draw``."""
        entry, joined = choose(self._strata, rng)
        return Item(self._store.grids(entry.key, entry.images), *entry.truth(), joined)


class SeenItems:
    """Draws items of a pool; their inputs are what an attending neck has seen.

    Args:
      strata: drawn from equally often.
      seen: of each item, by key; ``(N, V)`` float32, or the encoder's grids.
      taught: what a teacher answered, ``(N, labels)`` by key, in place of the truth.
    """

    def __init__(
        self,
        strata: Sequence[Sequence[PoolEntry]],
        seen: dict[str, npt.NDArray[Any]],
        taught: dict[str, npt.NDArray[np.float32]] | None = None,
    ) -> None:
        self._strata, self._seen, self._taught = strata, seen, taught

    def everything(self) -> npt.NDArray[np.float32]:
        """All frames of all items, ``(N, V)``."""
        return np.concatenate(list(self._seen.values()))

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """See ``edgecap_convert.data.sequences.Draw``."""
        entry, joined = choose(self._strata, rng)
        seen = self._seen[entry.key]
        if self._taught is not None:
            # The teacher began each item from a reset state.
            return Item(seen, self._taught[entry.key], np.ones(len(seen), np.float32))
        return Item(seen, *entry.truth(), joined)


def spread(strata: Sequence[Sequence[PoolEntry]], count: int) -> list[PoolEntry]:
    """At most ``count`` entries, evenly chosen from all."""
    entries = [entry for each in strata for entry in each]
    chosen = np.linspace(0, len(entries) - 1, count).astype(int)
    return [entries[i] for i in sorted(set(chosen.tolist()))]


def choose(
    strata: Sequence[Sequence[PoolEntry]], rng: np.random.Generator
) -> tuple[PoolEntry, bool]:
    """Draws an item, and whether it goes on with the state that the one before it left."""
    entries = strata[int(rng.integers(len(strata)))]
    entry = entries[int(rng.integers(len(entries)))]
    return entry, len(strata) > 1 and bool(rng.random() < JOIN_PROBABILITY)


class FeatureRecordings:
    """Recordings whose ``images`` are the grids of an encoder, for a predictor that reads those.

    Args:
      see: if given, they are what it makes of the grids.
    """

    def __init__(
        self,
        recordings: Recordings,
        store: FeatureStore,
        *,
        see: Callable[[Grids], npt.NDArray[np.float32]] | None = None,
    ) -> None:
        self._recordings, self._store, self._see = recordings, store, see

    def __iter__(self) -> Iterator[Recording]:
        for key, recording in zip(self._recordings.keys(), self._recordings, strict=True):
            grids: Any = self._store.grids(f"{key}-recorded", partial(_images, recording))
            if self._see is not None:
                grids = self._see(grids)
            yield dataclasses.replace(recording, images=grids)


def _images(recording: Recording) -> npt.NDArray[np.uint8]:
    return recording.images


def encoder_digest(network: Network) -> str:
    """Says what an encoder computes: its architecture and weights."""
    digest = hashlib.sha256()
    described = dataclasses.asdict(network.config.encoder) | {"weights": None, "version": _VERSION}
    digest.update(json.dumps(described, sort_keys=True).encode())
    for weight in network.encoder.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:24]


def npy(array: npt.NDArray[Any]) -> bytes:
    """An array as the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def map_array(path: Path) -> Any:
    """The array in a file, mapped; ``None`` if there is none or it is damaged."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
