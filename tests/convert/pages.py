"""Pages of reports, parsed; and texts that they have to bear."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import numpy.typing as npt

VOID = {"meta", "img", "br", "hr", "path", "rect", "use", "polyline"}
# Names as people, or attackers, may give them.
HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted' & $x_1^{$",
    "走る 🏃",
    "{{ 7 * 7 }}",
    "never",
)


class Page(HTMLParser):
    """A parsed page; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = text
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.texts.append(data)
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    @property
    def images(self) -> list[npt.NDArray[np.uint8]]:
        """The pictures as RGB."""
        pictures = []
        for tag, name, value in self.attributes:
            if (tag, name) == ("img", "src"):
                kind, data = value.split(",", 1)
                assert kind == "data:image/webp;base64"
                found = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1)
                pictures.append(cv2.cvtColor(found, cv2.COLOR_BGR2RGB))
        return pictures

    def table(self, first: str) -> list[list[str]]:
        """The one table whose first cell says this."""
        (found,) = (table for table in self.tables if table[0][0].strip() == first)
        return [[cell.strip() for cell in row] for row in found]


def check_self_contained(page: Page) -> None:
    assert "http" not in page.source.replace("http-equiv", "")
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name, value)
        if name in ("href", "xlink:href"):
            assert value[0] == "#"
            assert value[1:] in ids
        if name == "src":
            assert value.startswith("data:image/")
        for target in re.findall(r"url\(([^)]*)\)", value):
            assert target[0] == "#"
            assert target[1:] in ids
