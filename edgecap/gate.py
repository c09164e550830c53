"""Whether the picture has changed since the encoder last looked at it.

The picture is cut into blocks of 8×8 pixels, and each block's mean brightness is held against that
of the last encoded picture. The noise of single pixels averages out over the 192 values of a
block; what moves changes some block's mean; and what changes slowly adds up, since the picture
before is not what is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConfigError
from edgecap.preprocess import Image

_BLOCK = 8
# Values in a block: all three channels count alike.
_VALUES = _BLOCK * _BLOCK * 3
# Every second byte of eight: two values side by side can then be added without a carry.
_EVEN = np.uint64(0x00FF00FF00FF00FF)
_BYTE = np.uint64(8)
# A row of a block is 24 bytes: 12 sums of two values.
_ONES = np.ones(_BLOCK * 3 // 2, np.int32)

DEFAULT_THRESHOLD = 4.0
DEFAULT_REFRESH_S = 3.0
DEFAULT_MAX_SKIPS = 100

Blocks = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Seen:
    """The picture that was last encoded, and what came of it.

    Attributes:
      blocks: ``(N,)`` int32: :meth:`SceneGate.blocks` of it.
      features: what the encoder gave; see :mod:`edgecap.cut`.
      encoded_s: its timestamp.
      reused: frames since then that were answered with these features.
    """

    blocks: Blocks
    features: tuple[npt.NDArray[Any], ...]
    encoded_s: float
    reused: int = 0


@dataclass(frozen=True)
class SceneGate:
    """Decides which frames the encoder looks at. It remembers nothing itself: streams do.

    Attributes:
      threshold: grey levels (of 255) by which the mean of some block of 8×8 pixels, at the model's
        input size, must differ from the last encoded picture.
      refresh_s: a picture is encoded after this time in any case.
      max_skips: and after this many frames that were not, whatever the timestamps say.

    Raises:
      ConfigError: a value is out of range.
    """

    threshold: float = DEFAULT_THRESHOLD
    refresh_s: float = DEFAULT_REFRESH_S
    max_skips: int = DEFAULT_MAX_SKIPS

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 256:
            raise ConfigError(
                f"gate threshold: expected 0 to 255 grey levels; got {self.threshold:g}"
            )
        if not (self.refresh_s > 0 and math.isfinite(self.refresh_s)):
            raise ConfigError(f"gate refresh_s: expected more than 0 s; got {self.refresh_s:g}")
        if self.max_skips < 0:
            raise ConfigError(f"gate max_skips: expected 0 or more; got {self.max_skips}")

    def blocks(self, picture: Image) -> Blocks:
        """What is compared of a picture: ``(H, W, 3)`` uint8 → the sums of its blocks, int32."""
        height, width, _ = picture.shape
        if height % _BLOCK or width % _BLOCK:
            missing = ((0, -height % _BLOCK), (0, -width % _BLOCK), (0, 0))
            picture = np.pad(picture, missing, mode="edge")
            height, width, _ = picture.shape
        # Eight bytes at a time, since numpy adds bytes to wider integers one by one.
        words = np.ascontiguousarray(picture).reshape(height, width * 3).view(np.uint64)
        pairs = words >> _BYTE
        pairs &= _EVEN
        pairs += words & _EVEN
        rows = np.add.reduce(pairs.reshape(height // _BLOCK, _BLOCK, -1), axis=1)
        # At most 8 · 2 · 255 in each of four 16-bit sums.
        sums: Blocks = rows.view(np.uint16).reshape(-1, len(_ONES)) @ _ONES
        return sums

    def change(self, seen: Seen, blocks: Blocks) -> float:
        """The largest difference of a block's mean from the encoded picture's, in grey levels."""
        return float(np.abs(blocks - seen.blocks).max()) / _VALUES

    def opens(self, seen: Seen | None, blocks: Blocks, timestamp_s: float) -> bool:
        """Whether the encoder must look at a picture.

        Args:
          seen: the picture that it looked at last; ``None`` after a reset.
          blocks: of the picture.
          timestamp_s: when it was taken.
        """
        if seen is None or seen.reused >= self.max_skips:
            return True
        # A clock that was set back says nothing of how old the features are.
        if not 0 <= timestamp_s - seen.encoded_s < self.refresh_s:
            return True
        return self.change(seen, blocks) > self.threshold
