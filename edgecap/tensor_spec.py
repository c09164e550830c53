"""One tensor of a model's graph, as a spec describes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgecap.errors import SpecError

DTYPES = ("int8", "uint8", "int16", "float32")
_INTEGER_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
# A guard against absurd values in a hostile file; far above anything that runs on a small computer.
_MAX_VALUES = 1 << 26


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a signature.

    Attributes:
      name: the name in the signature.
      shape: static shape, batch first.
      dtype: one of ``int8``, ``uint8``, ``int16``, ``float32``.
      scale, zero_point: real = scale · (q − zero_point); scale 0 for float tensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def __post_init__(self) -> None:
        where = f"tensor {self.name!r}"
        one_of(f"{where}: dtype", self.dtype, DTYPES)
        if not self.shape or any(side < 1 for side in self.shape):
            raise SpecError(f"{where}: expected a shape of positive sizes; got {self.shape}")
        if math.prod(self.shape) > _MAX_VALUES:
            raise SpecError(f"{where}: the shape {self.shape} is too large to be meant")
        quantized = self.dtype != "float32"
        if quantized and not (math.isfinite(self.scale) and self.scale > 0):
            raise SpecError(
                f"{where}: expected a positive scale for {self.dtype}; got {self.scale}"
            )
        low, high = _INTEGER_LIMITS.get(self.dtype, (self.zero_point, self.zero_point))
        if not low <= self.zero_point <= high:
            raise SpecError(
                f"{where}: expected a zero_point of {low} to {high} for {self.dtype}; "
                f"got {self.zero_point}"
            )


def one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ``SpecError`` unless a value is one of those allowed."""
    if value not in allowed:
        raise SpecError(f"{where}: expected one of {', '.join(allowed)}; got {value!r}")
