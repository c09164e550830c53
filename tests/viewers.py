"""A web page that is served for a test, and viewers that ask it over HTTP."""

from __future__ import annotations

import dataclasses
import http.client
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecap.events import Event
from edgecap.health import Monitor
from edgecap.predictions import ClassPrediction, MultiLabelPrediction, RegressionPrediction
from edgecap.sinks.base import Result, RunInfo
from edgecap.sinks.web import WebPage
from edgecap.sources.base import Frame
from edgecap.spec import (
    ACTIVATIONS,
    CAMERA_SCALE,
    DecisionSpec,
    GoldenSpec,
    InputSpec,
    ModelSpec,
    OutputSpec,
    TensorSpec,
)

LABELS = ("background", "öffnen", "<script>document.title='broken'</script>")


def spec(
    labels: Sequence[str] = LABELS, task: str = "classification", *, rate_hz: float = 12.0
) -> ModelSpec:
    output = TensorSpec("output", (1, len(labels)), "float32")
    return ModelSpec(
        name="a model",
        task=task,
        rate_hz=rate_hz,
        labels=tuple(labels),
        input=InputSpec(TensorSpec("image", (1, 96, 96, 3), "int8", CAMERA_SCALE)),
        states=(),
        output=OutputSpec(output, ACTIVATIONS[task]),
        decision=DecisionSpec(background=None if task == "regression" else labels[0]),
        golden=GoldenSpec(1, "none"),
        recipe="none",
    )


def result(
    index: int,
    *events: Event,
    values: Sequence[float] = (0.25, 0.7, 0.05),
    labels: Sequence[str] = LABELS,
    task: str = "classification",
    camera: str = "",
    shade: int = 128,
    size: tuple[int, int] = (48, 64),
    time_s: float | None = None,
) -> Result:
    """Frame ``index`` of a live camera, all of one grey."""
    at_s = index / 12 if time_s is None else time_s
    frame = Frame(index, at_s, np.full((*size, 3), shade, np.uint8))
    numbers = np.array(values, np.float32)
    best = int(numbers.argmax())
    prediction: Any
    if task == "regression":
        prediction = RegressionPrediction(at_s, events, numbers)
    elif task == "multilabel":
        prediction = MultiLabelPrediction(
            at_s, events, labels[best], float(numbers[best]), numbers, ()
        )
    else:
        prediction = ClassPrediction(at_s, events, labels[best], float(numbers[best]), numbers)
    return Result(frame, prediction, step_ms=1.5, camera=camera, latency_ms=4.0)


@contextmanager
def served(
    model: ModelSpec | None = None,
    *,
    cameras: Sequence[str] = ("door",),
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
) -> Iterator[WebPage]:
    page = WebPage(host, port, token=token)
    try:
        page.begin(RunInfo(model or spec(), tuple(cameras), Monitor().health))
        yield page
    finally:
        page.close()


@dataclass(frozen=True)
class Seen:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def get(page: WebPage, path: str, *, method: str = "GET", **headers: str) -> Seen:
    """One request on a connection of its own; ``sec_fetch_site`` is ``Sec-Fetch-Site``."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=120)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        return Seen(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


@dataclass
class Viewer:
    """Asks for what is new, as the page does."""

    page: WebPage
    name: str = "one"
    run: str = ""
    number: int = -1

    def live(self, **query: str) -> dict[str, Any]:
        """The next message; each camera's ``picture`` is its JPEG."""
        fields = {"run": self.run, "after": str(self.number), "viewer": self.name} | query
        seen = get(self.page, "/live?" + "&".join(f"{k}={v}" for k, v in fields.items()))
        assert seen.status == 200, seen.body
        told = unpack(seen.body)
        self.run, self.number = told["run"], told["number"]
        return told


def unpack(body: bytes) -> dict[str, Any]:
    (length,) = struct.unpack(">I", body[:4])
    told: dict[str, Any] = json.loads(body[4 : 4 + length], parse_constant=_refuse)
    at = 4 + length
    for camera in told["cameras"]:
        camera["picture"], at = body[at : at + camera["picture"]], at + camera["picture"]
    assert at == len(body)
    return told


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def start(label: str, time_s: float) -> Event:
    return Event(label, "start", time_s, 0.75)


def end(event: Event, time_s: float) -> Event:
    return dataclasses.replace(event, kind="end", timestamp_s=time_s, score=0.25)
