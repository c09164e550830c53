"""Event files for TensorBoard: ``tensorboard --logdir RUN/tensorboard``.

Event files are records of a public protocol buffer, both of which TensorFlow has; TensorBoard
itself is needed only to look at them. Each stage is a run of its own there, since each counts its
steps from 1 and has its own loss.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.errors import ConfigError
from edgecap.extras import require_cv2

FOLDER = "tensorboard"
# What readers know this version of the format by.
_FORMAT = "brain.Event:2"


class TensorBoardLog:
    """Writes scalars and images of the stages of one run.

    Points are buffered; ``flush`` belongs where a checkpoint is written, so that what is resumed
    from is also on the disk.

    Args:
      folder: of the run's event files; made when the first point is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, tf.io.TFRecordWriter] = {}

    def scalars(self, stage: str, step: int, **values: float | None) -> None:
        """Adds a point to each named curve of a stage; ``None`` adds none.

        Args:
          stage: its name, also that of a folder.
          step: from 0.
          values: such as ``loss=0.3, validation=None, learning_rate=1e-3``.
        """
        summary = tf.compat.v1.Summary(
            value=[
                tf.compat.v1.Summary.Value(tag=name, simple_value=float(value))
                for name, value in values.items()
                if value is not None
            ]
        )
        if summary.value:
            self._write(stage, tf.compat.v1.Event(step=step, summary=summary))

    def image(self, stage: str, step: int, name: str, image: npt.NDArray[np.uint8]) -> None:
        """Adds a picture, ``(H, W, 3)`` uint8 RGB."""
        cv2 = require_cv2("to log images")
        done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if not done:
            raise RuntimeError("OpenCV cannot write PNG")
        picture = tf.compat.v1.Summary.Image(
            height=image.shape[0],
            width=image.shape[1],
            colorspace=3,
            encoded_image_string=encoded.tobytes(),
        )
        value = tf.compat.v1.Summary.Value(tag=name, image=picture)
        summary = tf.compat.v1.Summary(value=[value])
        self._write(stage, tf.compat.v1.Event(step=step, summary=summary))

    def resume(self, stage: str, step: int) -> None:
        """Says that a stage goes on from a checkpoint made after ``step``; −1: starts anew.

        What an interrupted training wrote of later steps is dropped when the files are read.
        """
        # A stage that has written nothing has nothing to be dropped.
        if _event_files(self._folder / stage):
            self._write(stage, _start(step + 1))

    def flush(self) -> None:
        """Hands all points so far to the system: they outlive this process."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Writes what is left; a later point opens a new file."""
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.close()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, stage: str, event: tf.compat.v1.Event) -> None:
        writer = self._writers.get(stage)
        if writer is None:
            writer = self._writers[stage] = _open(self._folder / stage)
        event.wall_time = time.time()
        writer.write(event.SerializeToString())


def _event_files(folder: Path) -> list[Path]:
    return list(folder.glob("events.out.tfevents.*"))


def _start(step: int) -> tf.compat.v1.Event:
    """Readers drop what they have read of this step and later ones; but not at the first such."""
    status = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    return tf.compat.v1.Event(wall_time=time.time(), step=step, session_log=status)


def _open(folder: Path) -> tf.io.TFRecordWriter:
    """A new event file, whose name sorts behind those that are there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        first = not _event_files(folder)
        # Readers go by the names' order; nanoseconds keep it where runs are resumed quickly.
        stamp = time.time_ns()
        name = f"events.out.tfevents.{stamp // 10**9}.{stamp % 10**9:09}.{socket.gethostname()}"
        writer = tf.io.TFRecordWriter(str(folder / name))
        version = tf.compat.v1.Event(wall_time=time.time(), file_version=_FORMAT)
        writer.write(version.SerializeToString())
        if first:
            writer.write(_start(0).SerializeToString())
        writer.flush()
    except (OSError, tf.errors.OpError) as error:
        raise ConfigError(f"{folder}: event files cannot be written there: {error}") from error
    return writer
