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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edgecap.bundle import write_atomically
from edgecap.evaluation import Recording
from edgecap_convert.data import Item, PoolEntry, Recordings
from edgecap_convert.models.network import Network

Grids = npt.NDArray[np.float16]
_VERSION = 1
_JOIN_PROBABILITY = 0.3


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
        kept = _map(path)
        if kept is not None:
            self._count(key, kept.nbytes)
            return kept
        made = self._encode(images()).astype(np.float16)
        if self._count(key, made.nbytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _npy(made))
            return _map(path) if len(made) else made  # type: ignore[return-value]
        return made

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

    def fill(self) -> None:
        """Computes what is not there yet, with progress."""
        with tqdm(self._entries, desc=" features", unit="item") as bar:
            for entry in bar:
                self._store.grids(entry.key, entry.images)

    def deviation(self) -> float:
        """The mean deviation of the grids' values, of some items."""
        chosen = np.linspace(0, len(self._entries) - 1, 16).astype(int)
        entries = [self._entries[i] for i in sorted(set(chosen.tolist()))]
        grids = (self._store.grids(entry.key, entry.images) for entry in entries)
        return float(np.mean([array.astype(np.float32).std() for array in grids]))

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """See ``edgecap_convert.data.sequences.Draw``."""
        entries = self._strata[int(rng.integers(len(self._strata)))]
        entry = entries[int(rng.integers(len(entries)))]
        targets, weights = entry.truth()
        joined = len(self._strata) > 1 and bool(rng.random() < _JOIN_PROBABILITY)
        return Item(self._store.grids(entry.key, entry.images), targets, weights, joined)


class FeatureRecordings:
    """Recordings whose ``images`` are the grids of an encoder, for a predictor that reads those."""

    def __init__(self, recordings: Recordings, store: FeatureStore) -> None:
        self._recordings, self._store = recordings, store

    def __iter__(self) -> Iterator[Recording]:
        for key, recording in zip(self._recordings.keys(), self._recordings, strict=True):
            grids: Any = self._store.grids(f"{key}-recorded", partial(_images, recording))
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


def _npy(array: npt.NDArray[np.float16]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _map(path: Path) -> Grids | None:
    """The array in a file, mapped; ``None`` if there is none or it is damaged."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
