"""The part of libcamera's Python face that edgecap uses; see picamera2.py beside it."""


class ColorSpace:
    @staticmethod
    def Smpte170m() -> str:  # noqa: N802  # as theirs
        return "Smpte170m"
