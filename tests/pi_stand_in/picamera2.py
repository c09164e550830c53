"""The part of picamera2's face that edgecap uses, for machines without a Pi's camera.

After picamera2's documentation and source (``request.py``: YUV420 arrays keep the padding of
their rows). It shows that our calls fit together; that a Pi agrees, only a Pi can show.
"""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np

_ALIGNMENT = 64
_BUFFERS = 4
# Left to right: red, green, blue, grey.
COLORS = ((220, 40, 40), (40, 200, 40), (40, 40, 220), (128, 128, 128))


class Picamera2:
    def __init__(self, camera_num: int = 0) -> None:
        if camera_num > 0:
            raise IndexError("list index out of range")
        self.sensor_resolution = (3280, 2464)
        self._configuration: dict[str, Any] | None = None
        self._started = False
        self._out = 0

    def create_video_configuration(
        self,
        main: dict[str, Any] = {},  # noqa: B006  # as theirs
        lores: dict[str, Any] | None = None,
        raw: dict[str, Any] | None = None,
        colour_space: object = None,
        controls: dict[str, Any] = {},  # noqa: B006
    ) -> dict[str, Any]:
        assert lores is not None
        assert lores["size"][0] <= main["size"][0]
        assert lores["size"][1] <= main["size"][1], "lores stream dimensions may not exceed main"
        assert all(side % 2 == 0 for side in (*lores["size"], *main["size"]))
        return {"main": main, "lores": lores, "colour_space": colour_space, "controls": controls}

    def configure(self, configuration: dict[str, Any]) -> None:
        assert configuration["colour_space"] == "Smpte170m"
        main, sensor = configuration["main"]["size"], self.sensor_resolution
        assert abs(main[0] / main[1] - sensor[0] / sensor[1]) < 0.01, "the view is cut"
        self._configuration = configuration

    def camera_configuration(self) -> dict[str, Any]:
        assert self._configuration is not None
        return self._configuration

    def start(self) -> None:
        assert self._configuration is not None
        self._started = True

    def capture_request(self) -> _Request:
        assert self._started
        assert self._out < _BUFFERS, "requests are not released"
        time.sleep(1 / self.camera_configuration()["controls"]["FrameRate"])
        self._out += 1
        return _Request(self)

    def stop(self) -> None:
        self._started = False

    def close(self) -> None:
        assert not self._started


class _Request:
    def __init__(self, camera: Picamera2) -> None:
        self._camera = camera
        # 20 ms ago: exposure and transfer take their time.
        self._taken_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 20_000_000

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": self._taken_ns, "ExposureTime": 10_000}

    def make_array(self, name: str) -> np.ndarray:
        width, height = self._camera.camera_configuration()[name]["size"]
        stride = -(-width // _ALIGNMENT) * _ALIGNMENT
        rgb = np.zeros((height, stride, 3), np.uint8)
        for number, color in enumerate(COLORS):
            rgb[:, number * width // 4 : (number + 1) * width // 4] = color
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)

    def release(self) -> None:
        self._camera._out -= 1
