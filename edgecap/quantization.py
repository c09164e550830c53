"""Real numbers to integers and back, the way the TFLite kernels do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.spec import CAMERA_SCALE, TensorSpec

if TYPE_CHECKING:
    import numpy.typing as npt


def quantize(real: npt.ArrayLike, tensor: TensorSpec) -> npt.NDArray[Any]:
    """Rounds (half away from zero) and saturates to a tensor's grid.

    Source of the formula: ``AffineQuantize`` in ``tensorflow/lite/kernels/internal/reference``:
    q = round(real / scale) + zero_point. Float tensors are only cast.
    """
    values = np.asarray(real, np.float32)
    if tensor.dtype == "float32":
        return values
    limits = np.iinfo(tensor.dtype)
    scaled = values / np.float32(tensor.scale)
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)) + tensor.zero_point
    integers: npt.NDArray[Any] = np.clip(rounded, limits.min, limits.max).astype(tensor.dtype)
    return integers


def dequantize(values: npt.NDArray[Any], tensor: TensorSpec) -> npt.NDArray[np.float32]:
    """real = scale · (q − zero_point), float32. Float tensors pass unchanged."""
    if tensor.dtype == "float32":
        return values.astype(np.float32, copy=False)
    real = (values.astype(np.int32) - tensor.zero_point).astype(np.float32)
    return real * np.float32(tensor.scale)


def reset_value(tensor: TensorSpec) -> int:
    """The stored value that means 0: the zero-point of an integer state, 0 of a float one."""
    return 0 if tensor.dtype == "float32" else tensor.zero_point


def image_tensor(height: int, width: int) -> TensorSpec:
    """The camera's grid: real = (u8 − 128) / 127.5, stored as int8 = u8 − 128."""
    return TensorSpec("image", (1, height, width, 3), "int8", scale=CAMERA_SCALE, zero_point=0)
