"""The ``synthetic:`` source: a scene that needs no camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgecap.errors import SourceError
from edgecap.sources.base import ClosingSource, Frame
from edgecap.synthetic import DEFAULT_RATE_HZ, Scene, SceneFrame

_OPTIONS: Mapping[str, type] = {
    "seed": int,
    "width": int,
    "height": int,
    "rate": float,
    "gestures": int,
}
USAGE = "synthetic:[seed=N,gestures=N,width=N,height=N,rate=HZ]"


class SyntheticSource(ClosingSource):
    """Frames of :class:`edgecap.synthetic.Scene`, as a source.

    Args:
      scene: what to play; ``frames()`` gives its frames with their true labels.
    """

    live = False

    def __init__(self, scene: Scene, name: str = "synthetic:") -> None:
        self.name = name
        self.scene = scene
        self.rate_hz: float | None = scene.rate_hz

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.frames():
            yield Frame(frame.index, frame.timestamp_s, frame.image)

    def frames(self) -> Iterator[SceneFrame]:
        """The scene's frames, labelled."""
        return iter(self.scene)


def parse_scene(
    text: str, *, height: int, width: int, rate_hz: float = DEFAULT_RATE_HZ
) -> tuple[Scene, dict[str, Any]]:
    """Reads ``seed=1,gestures=20`` (what follows ``synthetic:``).

    Args:
      text: options, separated by commas; may be empty.
      height, width, rate_hz: where the text does not say.

    Returns:
      The scene, and the options that the text gave.

    Raises:
      SourceError: an unknown option, or a value that is no number or out of range.
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in _OPTIONS:
            raise SourceError(f"synthetic: unknown option {name!r}; expected {USAGE}")
        try:
            options[name] = _OPTIONS[name](value)
        except ValueError:
            raise SourceError(f"synthetic: {name} expects a number; got {value!r}") from None
        if options[name] < 0:
            raise SourceError(f"synthetic: {name} expects 0 or more; got {value}")
    try:
        scene = Scene(
            seed=options.get("seed", 0),
            height=options.get("height", height),
            width=options.get("width", width),
            rate_hz=options.get("rate", rate_hz),
            gestures=options.get("gestures"),
        )
    except ValueError as error:
        raise SourceError(f"synthetic: {error}") from error
    return scene, options
