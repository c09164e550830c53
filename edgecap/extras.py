"""Optional packages, imported where they are used."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any

from edgecap.errors import MissingDependencyError
from edgecap.native import native_stderr_to_log

#: Of a picture; a small file may claim to be a very large one.
MAX_PIXELS = 1 << 28

# Kept once it is imported: looking for it with each frame takes an eighth of what a resize does.
_cv2: Any = None


def require_cv2(purpose: str) -> Any:
    """OpenCV, or an error that says how to get it."""
    global _cv2  # noqa: PLW0603
    if _cv2 is not None:
        return _cv2
    # Its decoders write to stderr on their own; what matters comes back as an error of ours.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    # Read when it is loaded: its decoders look before they take the memory.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    _cv2 = _require("cv2", "OpenCV", "camera", purpose)
    return _cv2


def require_mqtt(purpose: str) -> Any:
    """paho-mqtt's client module, of version 2 or later, or an error that says how to get it."""
    mqtt = _require("paho.mqtt.client", "paho-mqtt 2", "mqtt", purpose)
    if not hasattr(mqtt, "CallbackAPIVersion"):
        raise _missing("paho-mqtt 2", "mqtt", purpose)
    return mqtt


def require_matplotlib(purpose: str) -> Any:
    """Matplotlib with its figures and tickers, or an error that says how to get it."""
    _require("matplotlib.figure", "Matplotlib", "convert", purpose)
    return _require("matplotlib", "Matplotlib", "convert", purpose)


def require_caption_scores(purpose: str) -> tuple[Any, Any, Any]:
    """The modules of BLEU, ROUGE and CIDEr, or an error that says how to get them."""
    bleu, rouge, cider = (
        _require(f"pycocoevalcap.{name}.{name}", "pycocoevalcap", "captions", purpose)
        for name in ("bleu", "rouge", "cider")
    )
    return bleu, rouge, cider


def require_ed25519(purpose: str) -> tuple[Any, Any, type[Exception]]:
    """cryptography's Ed25519 and serialization, and what it raises for a wrong signature; or an
    error that says how to get them."""
    primitives = "cryptography.hazmat.primitives"
    ed25519 = _require(f"{primitives}.asymmetric.ed25519", "cryptography", "sign", purpose)
    serialization = _require(f"{primitives}.serialization", "cryptography", "sign", purpose)
    exceptions = _require("cryptography.exceptions", "cryptography", "sign", purpose)
    return ed25519, serialization, exceptions.InvalidSignature


def require_picamera2(purpose: str) -> Any:
    """The Raspberry Pi's camera package, or an error that says how to get it."""
    return _of_the_pi("picamera2", purpose)


def require_libcamera(purpose: str) -> Any:
    """What picamera2 stands on, or an error that says how to get it."""
    return _of_the_pi("libcamera", purpose)


def require_convert(module: str, purpose: str) -> Any:
    """A module of the workstation's side, or an error that says how to get it.

    Only looks whether TensorFlow is there: settings can then be read before it takes its seconds.
    """
    for package, name in (("tensorflow", "TensorFlow"), ("tf_keras", "tf-keras")):
        if importlib.util.find_spec(package) is None:
            raise _missing(name, "convert", purpose)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with native_stderr_to_log():
        imported = importlib.import_module(module)
        if "tensorflow" in sys.modules:
            # It looks for accelerators when it is first used, and writes about that too.
            sys.modules["tensorflow"].config.list_logical_devices()
    return imported


def _of_the_pi(module: str, purpose: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # Built against the system's own libraries, so not an extra of ours.
        raise MissingDependencyError(
            f"{module} is needed {purpose}. It comes with Raspberry Pi OS: sudo apt install "
            "python3-picamera2, in a virtual environment made with --system-site-packages"
        ) from error


def _require(module: str, name: str, extra: str, purpose: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(name, extra, purpose) from error


def _missing(name: str, extra: str, purpose: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{name} is needed {purpose}. Install edgecap with the extra {extra!r}, in its checkout: "
        f"pip install '.[{extra}]'"
    )
