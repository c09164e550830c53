"""A sentence under a live picture: what each sink makes of it."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from edgecap.caption_spec import CAPTIONING, CaptionSpec
from edgecap.drawing import Captions, draw
from edgecap.errors import SpecError
from edgecap.events import Event
from edgecap.health import Monitor
from edgecap.predictions import CaptionPrediction
from edgecap.sinks.base import Result, RunInfo
from edgecap.sinks.jsonl import JsonLines
from edgecap.sinks.records import event_records
from edgecap.sinks.terminal import LiveLine
from edgecap.sinks.web.board import Board
from edgecap.sinks.web.message import about, pack
from edgecap.sources.base import Frame
from edgecap.spec import GoldenSpec, ModelSpec, OutputSpec, TensorSpec
from tests.viewers import spec as streaming_spec

WORDS = ("<end>", "<unknown>", "a", "dog", "runs", "sits", "<start>")
CAPTION = CaptionSpec(
    token="token",
    features=(TensorSpec("keys", (1, 2, 4, 3), "int8", 0.1),),
    first=("h",),
    attention=TensorSpec("attention", (1, 2, 1, 4), "int8", 1 / 256, -128),
    rows=2,
    columns=2,
    start=6,
    end=0,
    forbidden=(1, 6),
    longest=5,
    beam=3,
    length_penalty=0.7,
)


def spec(**changes: object) -> ModelSpec:
    states = tuple(TensorSpec(name, (1, 4), "int8", 1 / 128) for name in "hc")
    made = dataclasses.replace(
        streaming_spec(),
        task=CAPTIONING,
        labels=WORDS,
        output=OutputSpec(TensorSpec("logits", (1, 7), "int8", 0.1), "log_softmax"),
        states=states,
        decision=dataclasses.replace(streaming_spec().decision, background=None),
        golden=GoldenSpec(1, "none"),
        caption=CAPTION,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def result(index: int, text: str, *events: Event, written: bool = False) -> Result:
    frame = Frame(index, index / 10, np.full((360, 640, 3), 120, np.uint8))
    prediction = CaptionPrediction(frame.timestamp_s, events, text=text, score=0.5, written=written)
    return Result(frame, prediction, step_ms=1.5)


FIRST = result(0, "a dog runs", Event("a dog runs", "start", 0.0, 0.5), written=True)
SECOND = result(
    9,
    "a dog sits",
    Event("a dog runs", "end", 0.9, 0.0),
    Event("a dog sits", "start", 0.9, 0.5),
    written=True,
)


def test_json_lines_say_the_sentence_and_whether_it_is_new(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLines(str(path), WORDS)
    for each in (FIRST, result(1, "a dog runs")):
        sink.write(each)
    sink.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [
        {"frame": 0, "timestamp_s": 0.0, "caption": "a dog runs", "score": 0.5, "written": True},
        {"frame": 1, "timestamp_s": 0.1, "caption": "a dog runs", "score": 0.5, "written": False},
    ]


def test_messages_tell_a_sentence_as_an_event() -> None:
    assert [(each["event"], each["kind"]) for each in event_records(SECOND)] == [
        ("a dog runs", "end"),
        ("a dog sits", "start"),
    ]


def test_the_terminal_tells_each_sentence_once() -> None:
    out = io.StringIO()
    line = LiveLine(WORDS, out)
    line.begin(RunInfo(spec(), ("",), Monitor().health))
    for each in (FIRST, result(1, "a dog runs"), SECOND):
        line.write(each)
    line.close()
    told = out.getvalue().splitlines()
    assert [row.split("▶ ")[1] for row in told] == ["a dog runs (0.50)", "a dog sits (0.50)"]


def test_the_sentence_stands_at_the_bottom_of_the_picture() -> None:
    pytest.importorskip("cv2", reason="needs the extra 'camera'")
    captions = Captions()
    image = FIRST.frame.image
    drawn = draw(image, FIRST, WORDS, captions.take(FIRST))
    assert (drawn[60:300] == 120).all()
    assert not (drawn[320:350, 10:200] == 120).all()
    # As long as it is true, and not only for a while.
    later = result(400, "a dog runs")
    assert not (draw(image, later, WORDS, captions.take(later))[320:350, 10:200] == 120).all()
    silent = result(401, "")
    assert (draw(image, silent, WORDS, captions.take(silent))[60:] == 120).all()
    # What does not fit in a line is broken, and nothing of it is lost.
    long = result(402, " ".join(["wandering"] * 12))
    drawn = draw(image, long, WORDS, captions.take(long))
    rows = (drawn != 120).any(axis=(1, 2))
    assert rows[240:350].sum() > 1.5 * rows[324:350].sum()


def test_the_page_shows_the_sentence_and_draws_how_sure_it_is() -> None:
    board = Board(RunInfo(spec(), ("camera",), Monitor().health))
    for each in (FIRST, SECOND):
        board.write(dataclasses.replace(each, camera="camera"))
    known = about(spec(), board)
    assert (known["task"], known["enter"]) == (CAPTIONING, None)
    assert known["labels"] == ("word probability",)
    message = pack(
        board.since(-1),
        [b""],
        run="r",
        about=known,
        viewers=1,
        health=Monitor().health(),
        task=CAPTIONING,
    )
    told = json.loads(message[4:])
    assert told["cameras"][0]["active"] == ["a dog sits"]
    assert told["cameras"][0]["rows"] == [[0.0, [0.5]], [0.9, [0.5]]]
    assert [(e["label"], e["kind"]) for e in told["events"]][-1] == ("a dog sits", "start")


def test_a_captioning_spec_reads_back_equal_and_others_are_as_before() -> None:
    made = spec()
    assert ModelSpec.from_json(made.to_json()) == made
    assert "caption" not in json.loads(streaming_spec().to_json())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"caption": None}, "caption: expected it for captioning"),
        ({"task": "classification"}, "caption: expected it for captioning"),
        ({"labels": WORDS[:-1]}, "labels: the model gives 7 numbers, but 6 labels"),
        ({"caption": dataclasses.replace(CAPTION, end=7)}, "caption.end: expected numbers"),
        ({"caption": dataclasses.replace(CAPTION, start=-1)}, "caption.start: expected numbers"),
        ({"caption": dataclasses.replace(CAPTION, forbidden=(0,))}, "caption.forbidden"),
        ({"caption": dataclasses.replace(CAPTION, first=("x",))}, "caption.first"),
        ({"caption": dataclasses.replace(CAPTION, token="h")}, "a name of its own"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(SpecError, match=named):
        spec(**change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"longest": 0}, "caption.longest: expected 1 to 1000"),
        ({"beam": 0}, "caption.beam: expected 1 to 64"),
        ({"beam": 65}, "caption.beam"),
        ({"length_penalty": float("nan")}, "caption.length_penalty"),
        ({"rows": 3}, "caption.attention: expected a shape of"),
    ],
)
def test_a_caption_out_of_range_is_refused(change: dict[str, float], named: str) -> None:
    with pytest.raises(SpecError, match=named):
        dataclasses.replace(CAPTION, **change)  # type: ignore[arg-type]
