"""Draws docs/bench.webp: the page of a benchmark on a desk and on a phone.

    PYTHONPATH=. python docs/make_bench_picture.py benchmarks/results/bench_gestures.json

Needs Chromium and the extra 'camera'.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from edgecap.benchmark import from_dict
from edgecap.benchmark.page import page
from tests.devtools import Browser, find_browser

OUT = Path(__file__).with_name("bench.webp")
DESK, PHONE, GAP = (1180, 1000), (390, 844), 24


def main() -> None:
    program = find_browser()
    if program is None:
        raise SystemExit("needs Chromium")
    document = from_dict(json.loads(Path(sys.argv[1]).read_text()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.html").write_text(page(document), "utf-8")
        url = (folder / "page.html").as_uri()
        with Browser(program, folder / "profile") as browser:
            desk = browser.open(url, width=DESK[0], height=DESK[1])
            phone = browser.open(url, width=PHONE[0], height=PHONE[1], phone=True)
            desk.prefer("light")
            phone.prefer("dark")
            for tab in (desk, phone):
                tab.wait("document.querySelector('svg') !== null")
                tab.screenshot(folder / f"{id(tab)}.png")
            left, right = (cv2.imread(str(folder / f"{id(tab)}.png")) for tab in (desk, phone))
    height = DESK[1]
    right = cv2.resize(right, (PHONE[0] * height // PHONE[1], height), interpolation=cv2.INTER_AREA)
    between = np.full((height, GAP, 3), 255, np.uint8)
    cv2.imwrite(str(OUT), np.hstack([left, between, right]), (cv2.IMWRITE_WEBP_QUALITY, 60))


if __name__ == "__main__":
    main()
