"""A benchmark's document as a page: one file, safe, and whole on any screen."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgecap.benchmark import svg
from edgecap.benchmark.formats import cell
from edgecap.benchmark.page import page
from tests.bench_documents import DOCUMENTS, HOSTILE, bench
from tests.devtools import Browser, find_browser

_VOID = {"meta", "br", "path"}
_FORBIDDEN = {"script", "link", "img", "iframe", "object", "embed", "form", "base", "a"}


class Read(HTMLParser):
    """Checks that every tag is closed where it should be, and collects what is there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles.append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_makes_a_whole_page_that_loads_nothing(name: str) -> None:
    made = page(DOCUMENTS[name]())
    made.encode()
    read = Read(made)
    assert not read.tags & _FORBIDDEN
    assert not [a for a, _ in read.attributes if a.startswith("on") or a in ("src", "href")]
    styles = [value or "" for a, value in read.attributes if a == "style"] + read.styles
    assert not any("url(" in style or "@import" in style for style in styles)
    assert "default-src 'none'" in made
    assert not any(word in value for value in styles for word in ("nan", "inf%", "None"))
    assert not any("nan" in (v or "") or "inf" in (v or "") for a, v in read.attributes if a == "d")
    assert len(made) < 120_000


def test_markup_in_names_is_shown_and_not_obeyed() -> None:
    made = page(DOCUMENTS["hostile"](), [HOSTILE, "slower"])
    assert "<script>" not in made
    assert "alert(1)&lt;/script&gt;&quot;" in made
    assert "\x1b" not in made
    assert "\u202e" not in made
    assert made.count("</style>") == 1


def test_the_page_begins_with_what_one_wants_to_know() -> None:
    text = Read(page(bench())).text
    for told in ("Whole step, p50", "954 µs", "1037 fps", "Age at answer", "1.1 %", "147 ms"):
        assert told in text
        assert text.index(told) < text.index("Where the time goes")
    assert "edgecap bench gestures.tflite --seconds 60" in text


def test_a_disturbed_run_is_marked_before_its_figures() -> None:
    text = Read(page(bench(throttles=True))).text
    assert text.index("This run was disturbed") < text.index("Whole step, p50")
    assert "others took 13 % of the processor time" in text
    assert "This run was disturbed" not in page(bench())


def test_a_comparison_stands_above_the_figures() -> None:
    text = Read(page(bench(), ["B against A: slower", "1.1 times as long"])).text
    assert text.index("B against A: slower") < text.index("Whole step, p50")


def test_what_was_not_measured_has_no_section() -> None:
    bare, full = (Read(page(DOCUMENTS[name]())).text for name in ("bare", "plain"))
    for title in ("At the camera's rate", "Cold start", "Threads", "Memory"):
        assert title not in bare
        assert title in full
    assert "too few samples" in bare
    assert "CUSTOM_WAVELET" in bare


def test_a_step_that_is_longer_than_its_frame_is_shown_as_late() -> None:
    assert 'class="card late"' in page(DOCUMENTS["sluggish"]())
    assert 'class="card late"' not in page(bench())


def test_no_drops_are_drawn_as_none() -> None:
    document = bench()
    assert document.open is not None
    for dropped, drawn in ((9, True), (0, False)):
        loop = dataclasses.replace(document.open, dropped=dropped)
        made = page(dataclasses.replace(document, open=loop))
        assert ('<span class=thin title="dropped' in made) == drawn
        assert "dropped" in Read(made).text


def test_a_tail_is_not_told_to_the_hundredth_of_a_microsecond() -> None:
    assert cell(12_073.24, 1.0, 2).replace("\u202f", " ") == "12 073"
    assert cell(123.45, 1.0, 2) == "123.5"
    assert cell(2.51, 1.0, 2) == "2.51"


def test_a_long_run_is_thinned_and_its_outliers_are_kept() -> None:
    points = [(float(n), 1.0) for n in range(10_000)]
    points[4321] = (4321.0, 9.0)
    found = svg.course(points, 10_000.0)
    assert len(found.at) == 240
    assert max(found.high) == 9.0
    assert max(found.middle) == 1.0
    axis, over = svg.range_of([value for _, value in points])
    assert axis.high < 9.0
    assert over == 1


def test_noise_is_not_drawn_as_if_it_were_a_change() -> None:
    axis, over = svg.range_of([100.0, 100.1, 99.9, 100.05])
    assert axis.high - axis.low >= 20
    assert over == 0


def test_axes_have_round_ticks() -> None:
    assert svg.steps(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert svg.steps(912, 1040, 4) == [950, 1000]
    assert svg.seconds(60.0) == [0, 10, 20, 30, 40, 50, 60]
    assert svg.Axis(0.7, 1200, log=True).ticks(4) == [1, 10, 100, 1000]
    assert svg.Axis(0.7, 1200, log=True).place(0.7) == 0
    assert svg.Axis(0.7, 1200, log=True).place(1e9) == 1


@pytest.mark.parametrize("value", [1e-9, 4.2, 1e14])
def test_a_run_of_one_block_and_of_equal_blocks_can_be_drawn(value: float) -> None:
    document = bench(seconds=1.0)
    block = dataclasses.replace(document.closed.blocks[0], step_us=value)
    for blocks in ((), (block,), (block,) * 50):
        closed = dataclasses.replace(document.closed, blocks=blocks)
        Read(page(dataclasses.replace(document, closed=closed)))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("needs Chromium")
    with Browser(program, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.mark.parametrize("name", ["plain", "hostile", "absurd", "sluggish"])
def test_the_page_fits_a_telephone(name: str, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "bench.html"
    file.write_text(page(DOCUMENTS[name]()), "utf-8")
    for width in (320, 1200):
        tab = browser.open(file.as_uri(), width=width, phone=width < 500)
        tab.wait("document.readyState === 'complete' && document.querySelector('footer') !== null")
        assert tab.value("document.documentElement.scrollWidth") <= width
        # And nothing is cut off inside: every section's content is as wide as the section.
        assert not tab.value(
            "[...document.querySelectorAll('section, .card, header, .warning')]"
            ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText.slice(0, 60))"
        )
        tab.close()


def test_the_page_is_dark_where_dark_is_preferred(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "bench.html"
    file.write_text(page(bench()), "utf-8")
    tab = browser.open(file.as_uri())
    tab.wait("document.querySelector('footer') !== null")
    seen = {}
    for scheme in ("light", "dark"):
        tab.prefer(scheme)
        seen[scheme] = tab.value("getComputedStyle(document.body).backgroundColor")
    tab.close()
    assert seen == {"light": "rgb(247, 248, 249)", "dark": "rgb(17, 20, 23)"}
