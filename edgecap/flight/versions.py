"""What computes here, by name and version."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Mapping

from edgecap import __version__

# Whichever of its distributions is installed.
_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


@functools.cache
def versions() -> Mapping[str, str]:
    """Name → version, of what may change an answer; the runtime is told by the model."""
    found = {
        "edgecap": __version__,
        "numpy": importlib.metadata.version("numpy"),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
    }
    for name in _OPENCV:
        try:
            found["opencv"] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        break
    return found
