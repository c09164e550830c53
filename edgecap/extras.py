"""Optional packages, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from edgecap.errors import MissingDependencyError


def require_cv2(purpose: str) -> Any:
    """OpenCV, or an error that says how to get it."""
    return _require("cv2", "OpenCV", "camera", purpose)


def require_convert(module: str, purpose: str) -> Any:
    """A module of the workstation's side, or an error that says how to get it."""
    _require("tensorflow", "TensorFlow", "convert", purpose)
    _require("tf_keras", "tf-keras", "convert", purpose)
    return importlib.import_module(module)


def _require(module: str, name: str, extra: str, purpose: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is needed {purpose}. Install it with: pip install 'edgecap[{extra}]' ({error})"
        ) from error
