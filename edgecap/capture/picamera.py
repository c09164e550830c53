"""The Raspberry Pi's camera through picamera2; runs in the camera's own process.

Beside its main picture the image signal processor makes a small one, scaled in hardware: the
``lores`` stream. That is the one read here, so no time of the processor goes into resizing.
"""

from __future__ import annotations

import time
from typing import Any

from edgecap.capture.device import Picture
from edgecap.errors import SourceError
from edgecap.extras import require_cv2, require_picamera2

DEFAULT_SIZE = (240, 320)
DEFAULT_RATE_HZ = 30.0
# The main picture is not read; it only has to be larger than the small one and show all that the
# sensor sees.
_MAIN_WIDTH = 1280
# A sensor's time may be so far from now before it is taken for another clock's.
_MAX_AGE_S = 2.0


class PiCamera:
    """The camera's small stream, as RGB.

    Args:
      camera: 0 for the first.
      height, width: of the small stream; odd sizes are rounded up, as its colours are halved. The
        picture is stretched to it, like the model's own ``stretch``.
      rate_hz: frames a second.

    Raises:
      SourceError: there is no such camera, or it is in use.
      MissingDependencyError: picamera2 is not there.
    """

    def __init__(
        self,
        *,
        camera: int = 0,
        height: int = DEFAULT_SIZE[0],
        width: int = DEFAULT_SIZE[1],
        rate_hz: float = DEFAULT_RATE_HZ,
    ) -> None:
        module = require_picamera2("to read the Pi's camera")
        self._cv2 = require_cv2("to convert the Pi camera's colours")
        self.rate_hz: float | None = rate_hz
        try:
            self._camera = module.Picamera2(camera)
        except (RuntimeError, IndexError) as error:
            raise SourceError(
                f"Pi camera {camera} does not open ({error}). Is it connected, and does no other "
                "program use it? rpicam-hello --list-cameras shows what there is"
            ) from error
        try:
            self._size = self._start(_even(height), _even(width), rate_hz)
        except Exception:
            self._camera.close()
            raise

    def _start(self, height: int, width: int, rate_hz: float) -> tuple[int, int]:
        sensor_width, sensor_height = self._camera.sensor_resolution
        # Of the sensor's own aspect, so that nothing is cut off.
        main_width = max(_even(min(_MAIN_WIDTH, sensor_width)), width)
        main_height = max(_even(round(main_width * sensor_height / sensor_width)), height)
        configuration = self._camera.create_video_configuration(
            # Below 1280 × 720, or for RGB, picamera2 would choose another colour space by itself.
            main={"size": (main_width, main_height), "format": "YUV420"},
            lores={"size": (width, height), "format": "YUV420"},
            # BT.601 in the range 16 to 235 is what OpenCV converts from.
            colour_space=_smpte170m(),
            controls={"FrameRate": rate_hz},
        )
        self._camera.configure(configuration)
        self._camera.start()
        # What the hardware made of it, which may be another size.
        got_width, got_height = self._camera.camera_configuration()["lores"]["size"]
        return got_height, got_width

    def read(self) -> Picture | None:
        request = self._camera.capture_request()
        try:
            taken_s = _monotonic(request.get_metadata().get("SensorTimestamp"))
            planes = request.make_array("lores")
        finally:
            # Back to the camera, which has few of them.
            request.release()
        height, width = self._size
        if planes.ndim != 2 or planes.shape[0] != height * 3 // 2 or planes.shape[1] < width:
            return None
        image = self._cv2.cvtColor(planes, self._cv2.COLOR_YUV2RGB_I420)
        # Rows are padded to what the hardware likes.
        return Picture(image[:, :width], taken_s)

    def close(self) -> None:
        self._camera.stop()
        self._camera.close()


def _even(size: int) -> int:
    return size + size % 2


def _smpte170m() -> Any:
    from edgecap.extras import require_libcamera

    return require_libcamera("to read the Pi's camera").ColorSpace.Smpte170m()


def _monotonic(sensor_ns: int | None) -> float:
    """The sensor's time (CLOCK_BOOTTIME, which goes on in suspend) on ``time.monotonic``."""
    now_s = time.monotonic()
    if sensor_ns is None or not hasattr(time, "CLOCK_BOOTTIME"):
        return now_s
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - sensor_ns / 1e9
    return now_s - age_s if 0 <= age_s <= _MAX_AGE_S else now_s
