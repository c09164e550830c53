"""What a training needs to go on after it was stopped, on disk while it runs.

One file per stage, replaced as a whole: a stop at any moment leaves either the file before or the
file after. A checkpoint holds every number that the next step depends on, so that going on gives
what an unbroken run would have given.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.durable import write_atomically
from edgecap.errors import ConfigError

_META = "meta"


@dataclass(frozen=True)
class Snapshot:
    """A stage at one moment.

    Attributes:
      meta: plain data. arrays: by name.
    """

    meta: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run.

    Args:
      folder: made when the first one is written.
      every_s: seconds between two checkpoints of a stage, at least.
    """

    def __init__(self, folder: Path, *, every_s: float) -> None:
        self._folder, self._every_s = folder, every_s
        self._written = time.monotonic()

    def due(self) -> bool:
        """Whether the last one is long enough ago."""
        return time.monotonic() - self._written >= self._every_s

    def save(self, stage: str, snapshot: Snapshot) -> None:
        """Replaces the stage's checkpoint."""
        buffer = io.BytesIO()
        meta = np.frombuffer(json.dumps(snapshot.meta).encode(), np.uint8)
        np.savez(buffer, **{_META: meta}, **snapshot.arrays)  # type: ignore[arg-type]
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(stage), buffer.getvalue())
        self._written = time.monotonic()

    def load(self, stage: str) -> Snapshot | None:
        """The stage's checkpoint, if there is one.

        Raises:
          ConfigError: it is damaged.
        """
        path = self._path(stage)
        if not path.is_file():
            return None
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays.pop(_META).tobytes())
        except Exception as error:
            raise ConfigError(
                f"{path} is damaged ({error}); remove it to begin this stage anew"
            ) from error
        return Snapshot(meta, arrays)

    def discard(self, stage: str) -> None:
        """Forgets the stage's checkpoint."""
        self._path(stage).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forgets all of them."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def _path(self, stage: str) -> Path:
        return self._folder / f"{stage}.npz"
