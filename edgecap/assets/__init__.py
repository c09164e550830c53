"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

DEMO_MODEL = "demo"
_FILES = {DEMO_MODEL: "gestures-demo.tflite"}


def resolve_model(name: str | Path) -> Path:
    """``demo`` is the packaged model; anything else is a path."""
    file = _FILES.get(str(name))
    return Path(__file__).with_name(file) if file else Path(name)


def is_packaged(path: str | Path) -> bool:
    """Whether a file came with the package, and so from where the code came from."""
    return Path(path).parent == Path(__file__).parent
