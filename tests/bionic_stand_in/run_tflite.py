"""Streams frames through TensorFlow Lite's Android library by its C functions, with XNNPACK.

    run_tflite.py FOLDER

For the emulated Python of ``arm64_userland.py``, so that it imports nothing of edgecap. The folder
holds the libraries that ``android_host.prepare`` made, ``model.bin`` (the flatbuffer),
``frames.npy`` ``(N, H, W, 3)`` int8 and ``step.json``: tensor indices of the image, the output, the
states in and the states out, and the states' reset value as bytes in hexadecimal. Writes
``outputs.bin``: of each frame the output and the states, in that order.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

_POINTERS = (
    "TfLiteModelCreate",
    "TfLiteInterpreterOptionsCreate",
    "TfLiteInterpreterCreate",
    "TfLiteXNNPackDelegateCreate",
    "TfLiteInterpreterGetTensor",
)


def load(folder: Path) -> Any:
    """The library, with its stand-ins in place of Android's C library."""
    for name in ("log", "dl", "m", "c"):
        ctypes.CDLL(str(folder / f"lib{name}.so"), ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(folder / "libtensorflowlite_jni.so"))
    for name in _POINTERS:
        getattr(library, name).restype = ctypes.c_void_p
    library.TfLiteTensorByteSize.restype = ctypes.c_size_t
    return library


def run(folder: Path) -> None:
    library = load(folder)
    step = json.loads((folder / "step.json").read_text())
    flatbuffer = (folder / "model.bin").read_bytes()
    kept = ctypes.create_string_buffer(flatbuffer, len(flatbuffer))
    model = library.TfLiteModelCreate(kept, ctypes.c_size_t(len(flatbuffer)))
    options = ctypes.c_void_p(library.TfLiteInterpreterOptionsCreate())
    library.TfLiteInterpreterOptionsSetNumThreads(options, 1)
    delegate = ctypes.c_void_p(library.TfLiteXNNPackDelegateCreate(None))
    library.TfLiteInterpreterOptionsAddDelegate(options, delegate)
    interpreter = ctypes.c_void_p(library.TfLiteInterpreterCreate(ctypes.c_void_p(model), options))
    assert library.TfLiteInterpreterAllocateTensors(interpreter) == 0

    def tensor(index: int) -> Any:
        return ctypes.c_void_p(library.TfLiteInterpreterGetTensor(interpreter, index))

    def read(index: int) -> bytes:
        size = library.TfLiteTensorByteSize(tensor(index))
        data = ctypes.create_string_buffer(size)
        assert library.TfLiteTensorCopyToBuffer(tensor(index), data, ctypes.c_size_t(size)) == 0
        return data.raw

    states = [bytes.fromhex(value) for value in step["reset"]]
    with (folder / "outputs.bin").open("wb") as told:
        for frame in np.load(folder / "frames.npy"):
            given = dict(zip(step["states_in"], states, strict=True))
            given[step["image"]] = frame.tobytes()
            for index, data in given.items():
                size = ctypes.c_size_t(len(data))
                assert library.TfLiteTensorCopyFromBuffer(tensor(index), data, size) == 0
            assert library.TfLiteInterpreterInvoke(interpreter) == 0
            states = [read(index) for index in step["states_out"]]
            told.write(b"".join([read(step["output"]), *states]))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
