"""The web page in a real browser: what a person sees while the pipeline runs."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgecap.health import Monitor
from edgecap.notices import Notice
from edgecap.pipeline import run
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.web import WebPage
from edgecap.sources.base import ClosingSource, Frame
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests.devtools import Browser, Tab, find_browser
from tests.viewers import LABELS, end, result, served, spec, start

pytest.importorskip("cv2", reason="needs the extra 'camera'")
CHROMIUM = find_browser()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

LIVE = "document.querySelector('#state').dataset.state === 'live'"
DRAWN = "document.querySelector('.picture').toDataURL()"
CHART = "document.querySelector('.chart').toDataURL()"
EVENTS = "document.querySelectorAll('#events li').length"


def seen(selector: str) -> str:
    """The text of an element as a person sees it; none of one that is not shown."""
    return (
        "(e => getComputedStyle(e).display === 'none' ? '' : e.innerText)"
        f"(document.querySelector('{selector}'))"
    )


BANNER = seen("#banner")
SCROLLS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


class Camera(ClosingSource):
    """A scene that is played as a camera sees it: in its own time, until it is stopped."""

    live = True
    rate_hz: float | None = 12.0

    def __init__(self, name: str, rate_hz: float) -> None:
        self.name = name
        self._scene = Scene(seed=(1 << 44) + 3, height=240, width=320, rate_hz=rate_hz)
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        began_s = time.monotonic()
        for frame in self._scene:
            if self._stopped.wait(max(0.0, began_s + frame.timestamp_s - time.monotonic())):
                return
            yield Frame(frame.index, began_s + frame.timestamp_s, frame.image)

    def stop(self) -> None:
        self._stopped.set()


class Shown(Sink):
    """Hands over to the page what the pipeline gives, as of this camera and live."""

    def __init__(self, page: WebPage, camera: str, monitor: Monitor) -> None:
        self.page, self._camera, self._monitor = page, camera, monitor

    def write(self, result: Result) -> None:
        latency_ms = (time.monotonic() - result.frame.timestamp_s) * 1e3
        self._monitor.frames += 1
        self._monitor.processed_one(result.step_ms, latency_ms)
        self.page.write(dataclasses.replace(result, camera=self._camera, latency_ms=latency_ms))


@dataclasses.dataclass
class Running:
    """A pipeline at work, and the page that shows it."""

    model: StreamingModel
    sink: Shown
    monitor: Monitor
    info: RunInfo

    def restart_page(self) -> None:
        """The page on the same port, as after a restart of the program."""
        page = WebPage(port=self.sink.page.port)
        page.begin(self.info)
        self.sink.page = page


@contextmanager
def running(model: StreamingModel) -> Iterator[Running]:
    monitor, name = Monitor(), "/dev/video0"
    info = RunInfo(model.spec, (name,), monitor.health)
    page = WebPage(port=0)
    camera = Camera(name, model.spec.rate_hz)
    sink = Shown(page, name, monitor)
    page.begin(info)
    thread = threading.Thread(target=run, args=(camera, model.stream(), [sink]))
    thread.start()
    try:
        yield Running(model, sink, monitor, info)
    finally:
        camera.stop()
        thread.join()
        sink.page.close()


def assert_clean(tab: Tab, page: WebPage) -> None:
    """Nothing on the console, nothing asked for elsewhere."""
    assert list(tab.problems) == []
    outside = [url for url in tab.asked_for if not url.startswith(f"http://127.0.0.1:{page.port}/")]
    assert outside == []
    assert len(tab.asked_for) > 5


def changes(tab: Tab, expression: str, times: int = 3) -> None:
    """Waits until what is drawn has changed so many times."""
    for _ in range(times):
        before = tab.value(expression)
        tab.value(f"window.before = {before!r}")
        tab.wait(f"{expression} !== window.before")


def test_a_running_pipeline_is_seen_by_two_viewers(
    browser: Browser, demo_model: StreamingModel
) -> None:
    with running(demo_model) as pipeline:
        page = pipeline.sink.page
        tab = browser.open(page.url)
        tab.wait(LIVE)
        assert tab.value("document.title") == demo_model.spec.name
        changes(tab, DRAWN)
        changes(tab, CHART)
        changes(tab, "document.querySelector('.camera .answer').innerText", 1)
        changes(tab, "document.querySelector('#health').innerText")
        tab.wait(f"{EVENTS} >= 2")
        told = tab.value("[...document.querySelectorAll('#events .what')].map(e => e.textContent)")
        assert set(told) <= set(demo_model.labels)

        phone = browser.open(page.url, width=390, height=844, phone=True)
        phone.wait(LIVE)
        phone.wait(f"{EVENTS} >= 2")
        changes(phone, DRAWN)
        assert not phone.value(SCROLLS)
        phone.wait("document.querySelector('#health').innerText.includes('Viewers\\n2')")
        # Not a blank sheet: picture and chart have many colours, and lie within the screen.
        for canvas in (".picture", ".chart"):
            left, right = phone.value(
                f"(r => [r.left, r.right])(document.querySelector('{canvas}')"
                ".getBoundingClientRect())"
            )
            assert 0 <= left < 30 and 360 < right <= 390
            assert colours(phone, canvas) > 10
        assert_clean(tab, page)
        assert_clean(phone, page)


def colours(tab: Tab, canvas: str) -> int:
    return int(
        tab.value(
            f"(() => {{ const c = document.querySelector('{canvas}');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return new Set(new Uint32Array(d.buffer)).size })()"
        )
    )


def test_after_a_restart_the_page_comes_back_by_itself(
    browser: Browser, demo_model: StreamingModel
) -> None:
    with running(demo_model) as pipeline:
        tab = browser.open(pipeline.sink.page.url)
        tab.wait(LIVE)
        changes(tab, DRAWN, 1)
        assert tab.value(BANNER) == ""
        pipeline.sink.page.close()
        tab.wait(f"{BANNER}.includes('No connection')")
        assert tab.value("document.querySelector('#state').innerText") == "no connection"
        time.sleep(1)
        pipeline.restart_page()
        tab.wait(LIVE)
        tab.wait(f"{BANNER} === ''")
        changes(tab, DRAWN)


def test_a_label_is_text_and_never_html(browser: Browser) -> None:
    with served() as page:
        opened = start(LABELS[2], 0.0)
        page.write(result(0, opened, values=(0.1, 0.1, 0.8)))
        page.notice(Notice("sink", "<img src=x onerror=\"document.title='broken'\">", 0.0, ""))
        tab = browser.open(page.url)
        tab.wait(f"{EVENTS} === 1 && {LIVE}")
        assert tab.value("document.querySelector('#events .what').textContent") == LABELS[2]
        assert tab.value("document.querySelector('.told .label').textContent") == LABELS[2]
        assert tab.value("document.querySelectorAll('main img, main script').length") == 0
        assert "<img" in tab.value("document.querySelector('#notices').innerText")
        assert tab.value("document.title") == "a model"
        assert_clean(tab, page)


def test_the_token_leaves_the_address_and_no_script_can_read_it(browser: Browser) -> None:
    with served(token="a-token-of-the-test") as page:
        page.write(result(0))
        tab = browser.open(page.url)
        tab.wait(f"location.href === 'http://127.0.0.1:{page.port}/' && {LIVE}")
        assert tab.value("document.cookie") == ""
        assert_clean(tab, page)
        stranger = browser.open(f"http://127.0.0.1:{page.port}/")
        stranger.wait("document.body.innerText.includes('needs its token')")


def test_a_lost_camera_is_said_over_its_picture(browser: Browser) -> None:
    veil = seen(".veil")
    with served() as page:
        tab = browser.open(page.url)
        tab.wait(f"{veil}.includes('Waiting for the first picture')")
        page.write(result(0))
        tab.wait(f"{veil} === ''")
        page.notice(Notice("lost", "no frames for 3 s: opened again", 0.0, "door"))
        tab.wait(f"{veil}.includes('Camera lost') && {veil}.includes('opened again')")
        page.notice(Notice("back", "frames again", 9.0, "door"))
        page.write(result(1))
        tab.wait(f"{veil} === ''")
        # Without any notice, a picture that stands still is not taken for a live one.
        tab.wait(f"{veil}.includes('No picture')")
        assert tab.value("document.querySelectorAll('#notices li').length") == 2
        assert_clean(tab, page)


def test_of_several_cameras_one_can_be_chosen(browser: Browser) -> None:
    shown = "document.querySelectorAll('#cameras .camera').length"
    with served(cameras=("door", "yard", "cellar")) as page:
        for name in ("door", "yard", "cellar"):
            page.write(result(0, start("öffnen", 0.0), camera=name))
        tab = browser.open(page.url, width=390, height=844, phone=True)
        tab.wait(f"{shown} === 3 && {EVENTS} === 3")
        assert "yard" in tab.value("document.querySelector('#events').innerText")
        assert not tab.value(SCROLLS)
        tab.value("[...document.querySelectorAll('#picker button')].at(2).click()")
        tab.wait(f"{shown} === 1 && document.querySelector('.name').innerText === 'yard'")
        tab.call("Page.reload")
        tab.wait(f"{LIVE} && {shown} === 1 && document.querySelector('.name').innerText === 'yard'")
        assert_clean(tab, page)


def test_every_task_has_its_view_in_the_light_and_in_the_dark(browser: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    for task in ("classification", "multilabel", "regression"):
        model = spec(("one", "two", "three"), task)
        with served(model) as page:
            for index in range(40):
                values = (0.5 + index / 100, 0.9 - index / 50, 0.01 * index)
                page.write(result(index, values=values, labels=model.labels, task=task))
            tab = browser.open(page.url)
            tab.wait(LIVE)
            tab.prefer("light")
            tab.wait(f"{ground} === 'rgb(244, 244, 241)'")
            tab.prefer("dark")
            tab.wait(f"{ground} === 'rgb(15, 16, 18)'")
            tab.wait("document.querySelectorAll('.bars li').length === 3")
            last = "0.89" if task == "regression" else "89%"
            tab.wait(f"document.querySelector('.bars .value').innerText === '{last}'")
            tab.wait("document.querySelector('#health').innerText.includes('Frames a second')")
            assert colours(tab, ".chart") > 10
            assert_clean(tab, page)
            tab.close()


def test_an_event_that_ends_shows_how_long_it_was(browser: Browser) -> None:
    long = "document.querySelector('#events .long').innerText"
    with served() as page:
        opened = start("öffnen", 0.0)
        page.write(result(0, opened))
        tab = browser.open(page.url)
        tab.wait(f"{EVENTS} === 1 && {long} === 'now'")
        page.write(result(30, end(opened, 2.5)))
        tab.wait(f"{long} === '2.5 s' && {EVENTS} === 1")


def test_a_screenshot_can_be_looked_at(browser: Browser, tmp_path: Path) -> None:
    with served() as page:
        page.write(result(0))
        tab = browser.open(page.url)
        tab.wait(LIVE)
        tab.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 10_000
