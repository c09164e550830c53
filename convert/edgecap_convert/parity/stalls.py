"""Units of a cell state that stand still while they should move.

A coarse grid swallows small steps: a cell that forgets slowly stays where it is for ever.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# A window is a second, or so many frames if that is more.
_LEAST_FRAMES = 3
# By less than this a unit may move without being missed.
_MOVED = 1 / 128


def stalled(
    values: npt.NDArray[np.float32],
    free: npt.NDArray[np.float32],
    *,
    step: float,
    limit: float,
    rate_hz: float,
) -> npt.NDArray[np.bool_]:
    """Looks at a state second by second.

    Args:
      values: ``(T, units)``, the state on its grid. free: the same, unrounded.
      step: of the grid. limit: a unit at ±limit, or at 0, rests and does not stall.
      rate_hz: frames a second.

    Returns:
      ``(windows, units)``: where a unit stood still through a second in which the free one moved.
    """
    length = max(_LEAST_FRAMES, round(rate_hz))
    found = []
    for first in range(0, len(values) - length + 1, length):
        window = slice(first, first + length)
        still = np.ptp(values[window], axis=0) == 0
        moved = np.ptp(free[window], axis=0) > max(step, _MOVED)
        resting = (np.abs(values[first]) >= limit - 1.5 * step) | (values[first] == 0)
        found.append(still & moved & ~resting)
    return np.array(found, bool).reshape(-1, values.shape[1])
