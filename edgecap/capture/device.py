"""What a camera's process reads from, and how it is told which."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from edgecap.errors import SourceError
from edgecap.preprocess import Image


@dataclass(frozen=True)
class Picture:
    """What a device delivered.

    Attributes:
      image: ``(h, w, 3)`` uint8; may be overwritten by the next ``read``.
      timestamp_s: when it was taken, on ``time.monotonic``.
      color: order of its channels, ``rgb`` or ``bgr``.
    """

    image: Image
    timestamp_s: float
    color: str = "rgb"


class Device(Protocol):
    """An open camera. Your own class may be one; see ``python:`` in the docs of sources.

    Attributes:
      rate_hz: frames a second, where it is known.
    """

    rate_hz: float | None

    def read(self) -> Picture | None:
        """Waits for the next frame; ``None``: one came that cannot be decoded.

        Raises:
          EOFError: the material is at its end; nothing is lost.
          SourceError: the camera is lost.
        """

    def close(self) -> None:
        """Gives the camera back."""


@dataclass(frozen=True)
class Opener:
    """Which device to open, as plain data that another process can be sent.

    Attributes:
      kind: ``camera``, ``url``, ``live``, ``picamera`` or ``python``.
      target: index or path, URL, file, or ``module:function:argument``; may hold secrets.
      options: numbers and words of the kind.
      resize: ``height``, ``width``, ``resize`` and ``fit`` of :class:`edgecap.spec.InputSpec`:
        frames are brought to that size, exactly as the model's preprocessing would; empty: not.
    """

    kind: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    resize: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As what ``Opener(**…)`` takes."""
        return asdict(self)

    def open(self) -> Device:
        """Opens it.

        Raises:
          SourceError: it does not open.
          MissingDependencyError: a package is needed that is not installed.
        """
        if self.kind == "camera":
            from edgecap.capture.opencv import Camera

            return Camera(self.target)
        if self.kind == "url":
            from edgecap.capture.opencv import Stream

            return Stream(self.target, **self.options)
        if self.kind == "live":
            from edgecap.capture.playing import Playing

            return Playing(self.target)
        if self.kind == "picamera":
            from edgecap.capture.picamera import PiCamera

            return PiCamera(**self.options)
        if self.kind == "python":
            return _custom(self.target)
        raise SourceError(f"unknown kind of camera: {self.kind!r}")


def _custom(target: str) -> Device:
    module, _, rest = target.partition(":")
    function, _, argument = rest.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise SourceError(
            f"python:{module}:{function}: cannot be imported ({error}); expected "
            "python:MODULE:FUNCTION[:ARGUMENT]"
        ) from error
    device: Device = make(argument)
    return device
