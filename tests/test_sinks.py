"""Sinks: what they write can be read back."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from edgecap import terminal
from edgecap.errors import SinkError
from edgecap.events import Event
from edgecap.predictions import ClassPrediction, MultiLabelPrediction, RegressionPrediction
from edgecap.sinks.base import Result
from edgecap.sinks.jsonl import JsonLines
from edgecap.sinks.records import result_record
from edgecap.sinks.terminal import LiveLine
from edgecap.sources.base import Frame

LABELS = ("background", "öffnen")


def frame_at(index: int) -> Frame:
    return Frame(index, index / 10, np.zeros((16, 16, 3), np.uint8))


def result(index: int, event: Event | None = None) -> Result:
    probabilities = np.array([0.25, 0.75], np.float32)
    frame, events = frame_at(index), () if event is None else (event,)
    prediction = ClassPrediction(frame.timestamp_s, events, "öffnen", 0.75, probabilities)
    return Result(frame, prediction, step_ms=1.5)


def several(index: int, *events: Event) -> Result:
    probabilities = np.array([0.5, 0.75], np.float32)
    frame = frame_at(index)
    prediction = MultiLabelPrediction(
        frame.timestamp_s, events, "öffnen", 0.75, probabilities, ("background", "öffnen")
    )
    return Result(frame, prediction, step_ms=1.5)


def measured(index: int, *values: float) -> Result:
    frame = frame_at(index)
    prediction = RegressionPrediction(frame.timestamp_s, (), np.array(values, np.float32))
    return Result(frame, prediction, step_ms=1.5)


START = Event("öffnen", "start", 0.1, 0.625)


def test_each_result_is_one_json_object_on_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLines(str(path), LABELS)
    sink.write(result(0))
    sink.write(result(1, START))
    sink.close()
    first, second = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert first == {
        "frame": 0,
        "timestamp_s": 0.0,
        "label": "öffnen",
        "score": 0.75,
        "probabilities": {"background": 0.25, "öffnen": 0.75},
        "event": None,
        "settled": True,
    }
    assert second["frame"] == 1
    assert second["event"] == {"label": "öffnen", "kind": "start", "score": 0.625}


def test_a_multilabel_result_lists_what_is_under_way_and_every_event() -> None:
    record = result_record(several(1, START, Event("background", "end", 0.1, 0.125)), LABELS)
    assert json.loads(json.dumps(record)) == {
        "frame": 1,
        "timestamp_s": 0.1,
        "label": "öffnen",
        "score": 0.75,
        "probabilities": {"background": 0.5, "öffnen": 0.75},
        "active": ["background", "öffnen"],
        "events": [
            {"label": "öffnen", "kind": "start", "score": 0.625},
            {"label": "background", "kind": "end", "score": 0.125},
        ],
        "settled": True,
    }
    assert result_record(several(2), LABELS)["events"] == []


def test_a_regression_result_is_its_values_by_name() -> None:
    record = result_record(measured(3, -12.5, 1.25e-6), ("angle", "speed"))
    assert json.loads(json.dumps(record)) == {
        "frame": 3,
        "timestamp_s": 0.3,
        "values": {"angle": -12.5, "speed": 1.25e-6},
        "settled": True,
    }


def test_a_reader_sees_each_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLines(str(path), LABELS)
    for number in range(1, 4):
        sink.write(result(number))
        assert len(path.read_text("utf-8").splitlines()) == number
    sink.close()


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old\n" * 100)
    JsonLines(str(path), LABELS).close()
    assert path.read_text() == ""


def test_a_dash_is_standard_output_and_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonLines("-", LABELS)
    sink.write(result(3))
    sink.close()
    print("still open")
    line, rest = capsys.readouterr().out.splitlines()
    assert json.loads(line)["frame"] == 3
    assert rest == "still open"


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "out.jsonl"):
        with pytest.raises(SinkError, match="cannot write"):
            JsonLines(str(path), LABELS)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_is_a_sink_error() -> None:
    sink = JsonLines("/dev/full", LABELS)
    with pytest.raises(SinkError, match="cannot write"):
        sink.write(result(0))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_away_from_a_terminal_only_events_are_printed() -> None:
    out = io.StringIO()
    line = LiveLine(LABELS, out)
    for number in range(5):
        line.write(result(number, START if number == 1 else None))
    line.close()
    assert out.getvalue() == "     0.10 s  ▶ öffnen start (0.62)\n"


def test_on_a_terminal_one_line_is_rewritten_and_cleaned_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    line = LiveLine(LABELS, out)
    for number in range(5):
        line.write(result(number, START if number == 1 else None))
    line.close()
    text = out.getvalue()
    assert text.count("\n") == text.count("▶ öffnen start") == 1
    assert "1.50 ms" in text
    assert text.endswith("\r\x1b[J")


def test_a_line_for_each_of_several_events() -> None:
    out = io.StringIO()
    LiveLine(LABELS, out).write(several(1, START, Event("background", "end", 0.1, 0.125)))
    assert out.getvalue().splitlines() == [
        "     0.10 s  ▶ öffnen start (0.62)",
        "     0.10 s  ■ background end (0.12)",
    ]


def test_the_live_line_tells_the_labels_under_way_or_the_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    LiveLine(LABELS, out).write(several(1))
    assert "▶ background, öffnen" in out.getvalue()
    out = Terminal()
    LiveLine(("angle", "speed"), out).write(measured(1, -12.5, 3.0))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert plain.split() == ["0.10", "s", "angle", "-12.5", "speed", "3", "1.50", "ms"]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_color_and_dumb_terminals_are_not_drawn_on(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.is_rich(Terminal())
    monkeypatch.setenv(name, value)
    assert not terminal.is_rich(Terminal())


@pytest.mark.parametrize("fraction", [-1.0, 0.0, 0.01, 0.5, 0.999, 1.0, 2.0])
def test_a_bar_is_always_as_wide_as_asked(fraction: float) -> None:
    bar = terminal.bar(fraction, columns=10)
    assert len(bar) == 10
    assert bar.count("█") == int(min(max(fraction, 0.0), 1.0) * 10 + 1e-9) or fraction == 0.999


def test_a_picture_keeps_the_aspect_and_the_colours() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 40:] = (1, 2, 3)
    lines = terminal.picture(image, columns=20)
    # Two pixels to a cell: 20 columns are 10 rows of pixels, 5 lines.
    assert len(lines) == 5
    assert all(line.count("▀") == 20 for line in lines)
    assert lines[0].count("\x1b[38;2;1;2;3;48;2;1;2;3m") == 10


@pytest.mark.parametrize(
    ("latency_ms", "time"), [(None, r"     0\.10 s  ▶"), (2.0, r"\d\d:\d\d:\d\d  ▶")]
)
def test_what_is_live_is_told_by_the_time_of_day(latency_ms: float | None, time: str) -> None:
    out = io.StringIO()
    live = LiveLine(LABELS, out)
    live.write(dataclasses.replace(result(1, START), latency_ms=latency_ms))
    live.close()
    assert re.match(time, out.getvalue())
