"""Draws docs/browser.webp: the page of ``edgecap web`` on a desk and on a phone, at work.

    PYTHONPATH=. python docs/make_browser_picture.py [FOLDER OF LITERT.JS]

Needs Chromium, LiteRT.js and the extra 'camera'.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from edgecap.assets import resolve_model
from edgecap.browser import find_litert, write_site
from edgecap.browser.server import SiteServer
from edgecap.synthetic import Scene
from tests.devtools import Browser, Tab, find_browser

OUT = Path(__file__).with_name("browser.webp")
DESK, PHONE, GAP = (1180, 780), (390, 844), 24
FRAMES = 372
UNDER_WAY = "document.querySelector('#events .now') !== null"
# Towards the end at the model's own rate: as fast as it can, nothing stands still for a picture.
SLOW = f"""
(({{ engine }}) => {{
  const step = engine.step.bind(engine), pause = () => new Promise((done) => setTimeout(done, 80));
  engine.step = async (frame) => {{
    if (edgecap.results.length > {FRAMES} - 110) await pause();
    return step(frame);
  }};
}})(edgecap)
"""


def watch(tab: Tab, pictures: list[Path], shot: Path) -> None:
    """The page when most pictures have been seen and something is under way."""
    tab.wait("document.querySelector('#state').innerText === 'ready'")
    tab.value(SLOW)
    tab.choose("#file", *pictures)
    tab.wait(f"edgecap.results.length > {FRAMES - 50} && {UNDER_WAY}", timeout_s=60)
    tab.screenshot(shot)


def main() -> None:
    program = find_browser()
    if program is None:
        raise SystemExit("needs Chromium")
    litert = find_litert(*sys.argv[1:])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = []
        scene = Scene(seed=(1 << 44) + 3, height=240, width=320, gestures=40)
        for frame, index in zip(scene, range(FRAMES), strict=False):
            pictures.append(folder / f"{index}.png")
            cv2.imwrite(str(pictures[-1]), frame.image[:, :, ::-1])
        site = write_site(resolve_model("demo"), folder / "site", litert=litert).folder
        shots = [folder / "desk.png", folder / "phone.png"]
        with SiteServer(site) as server, Browser(program, folder / "profile") as browser:
            desk = browser.open(server.url, width=DESK[0], height=DESK[1])
            desk.prefer("light")
            watch(desk, pictures, shots[0])
            phone = browser.open(server.url, width=PHONE[0], height=PHONE[1], phone=True)
            phone.prefer("dark")
            watch(phone, pictures, shots[1])
        left, right = (cv2.imread(str(shot)) for shot in shots)
    height = DESK[1]
    right = cv2.resize(right, (PHONE[0] * height // PHONE[1], height), interpolation=cv2.INTER_AREA)
    between = np.full((height, GAP, 3), 255, np.uint8)
    cv2.imwrite(str(OUT), np.hstack([left, between, right]), (cv2.IMWRITE_WEBP_QUALITY, 60))


if __name__ == "__main__":
    main()
