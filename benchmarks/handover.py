"""How long a frame takes from a camera's process to the array that the loop is given.

python benchmarks/handover.py [--json FILE]

The camera delivers 30 BGR frames a second; each is converted to RGB into shared memory, announced,
and copied into an array of its own. Beside it, the conversion alone, which a camera read in the
same process would need too.
"""

from __future__ import annotations

import statistics
import time

import cv2
import numpy as np
import record

import edgecap
from edgecap.capture.device import Picture

RATE_HZ = 30.0
_SIZES = {"vga": (480, 640), "1080p": (1080, 1920)}
_FRAMES, _WARM_UP = 300, 30


class Pictures:
    """A camera of one picture; the worker opens it by its name.

    Args:
      size: ``480x640``: height and width.
    """

    def __init__(self, size: str) -> None:
        height, width = map(int, size.split("x"))
        rng = np.random.default_rng(0)
        self._image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        self.rate_hz: float | None = RATE_HZ
        self._due_s = time.monotonic()

    def read(self) -> Picture:
        self._due_s += 1 / RATE_HZ
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        return Picture(self._image, time.monotonic(), "bgr")

    def close(self) -> None:
        pass


def measure(height: int, width: int) -> dict[str, float]:
    times_ms = []
    with edgecap.open_source(f"python:handover:Pictures:{height}x{width}") as source:
        for number, frame in enumerate(source):
            times_ms.append((time.monotonic() - frame.timestamp_s) * 1e3)
            if number == _FRAMES + _WARM_UP:
                break
    p50, p99 = np.percentile(times_ms[_WARM_UP:], (50, 99))
    return {
        "handover_p50_ms": round(float(p50), 3),
        "handover_p99_ms": round(float(p99), 3),
        "conversion_alone_ms": round(conversion_ms(height, width), 3),
        "copy_alone_ms": round(copy_ms(height, width), 3),
    }


def conversion_ms(height: int, width: int) -> float:
    cv2.setNumThreads(1)
    image = np.zeros((height, width, 3), np.uint8)
    return median_ms(lambda: cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def copy_ms(height: int, width: int) -> float:
    image = np.zeros((height, width, 3), np.uint8)
    return median_ms(image.copy)


def median_ms(what) -> float:  # type: ignore[no-untyped-def]
    times = []
    for _ in range(50):
        began = time.perf_counter()
        what()
        times.append((time.perf_counter() - began) * 1e3)
        # As between frames: what was in the caches is gone.
        time.sleep(0.01)
    return statistics.median(times)


def main() -> None:
    arguments = record.parser(__doc__).parse_args()
    result = {name: measure(*size) for name, size in _SIZES.items()}
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
