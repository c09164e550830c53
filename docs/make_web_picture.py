"""Draws docs/web.webp: the page on a desk and on a phone, while the packaged model runs.

    PYTHONPATH=. python docs/make_web_picture.py

Needs Chromium and the extra 'camera'.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

import edgecap
from edgecap.assets import resolve_model
from tests.devtools import Browser, find_browser
from tests.test_web_browser import LIVE, running

OUT = Path(__file__).with_name("web.webp")
DESK, PHONE, GAP = (1180, 700), (390, 844), 24
WATCH_S = 31.0


def main() -> None:
    program = find_browser()
    if program is None:
        raise SystemExit("needs Chromium")
    model = edgecap.load(resolve_model("demo"))
    with tempfile.TemporaryDirectory() as name, running(model) as pipeline:
        folder = Path(name)
        with Browser(program, folder / "profile") as browser:
            url = pipeline.sink.page.url
            desk = browser.open(url, width=DESK[0], height=DESK[1])
            phone = browser.open(url, width=PHONE[0], height=PHONE[1], phone=True)
            desk.prefer("light")
            phone.prefer("dark")
            phone.wait(LIVE)
            time.sleep(WATCH_S)
            # Something is under way in a good picture.
            for tab in (desk, phone):
                tab.wait("document.querySelector('.now .what') !== null", timeout_s=30)
                tab.screenshot(folder / f"{id(tab)}.png")
            left, right = (cv2.imread(str(folder / f"{id(tab)}.png")) for tab in (desk, phone))
    height = DESK[1]
    right = cv2.resize(right, (PHONE[0] * height // PHONE[1], height), interpolation=cv2.INTER_AREA)
    between = np.full((height, GAP, 3), 255, np.uint8)
    cv2.imwrite(str(OUT), np.hstack([left, between, right]), (cv2.IMWRITE_WEBP_QUALITY, 60))


if __name__ == "__main__":
    main()
