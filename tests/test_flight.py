"""The flight recorder: what it keeps, when it writes, and that it runs again to the byte."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecap
from edgecap.cli import main
from edgecap.errors import FlightError
from edgecap.flight.recorder import FlightRecorder, Settings
from edgecap.flight.replay import replay
from edgecap.flight.tape import Tape, read_tape
from edgecap.gate import SceneGate
from edgecap.notices import Notice
from edgecap.pipeline import run
from edgecap.predictions import ClassPrediction
from edgecap.streaming import StreamingModel
from tests import handmade
from tests.flown import EAGER, NEVER, SHORT, scene_frames, step_all, tapes
from tests.processes import LIMIT_S, wait_for


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that does not get the processor is waited for, and so is the next frame."""
    monkeypatch.setattr("edgecap.flight.recorder._CLOSE_S", LIMIT_S)
    monkeypatch.setattr("edgecap.flight.stream_recorder._IDLE_S", 5 * LIMIT_S)


def record(
    folder: Path, model: StreamingModel, settings: Settings = SHORT, **stream: Any
) -> tuple[list[Path], list[ClassPrediction]]:
    """A scene with three gestures, recorded; the tapes and all predictions.

    It is stepped far faster than a camera would: the recorder must be patient with the disk.
    """
    recorder = FlightRecorder(folder, settings, patient=True)
    stepped = model.stream(**stream)
    recorder.attach(stepped)
    predictions = step_all(stepped, scene_frames(model))
    recorder.close()
    return tapes(recorder), predictions


def one_tape(folder: Path, model: StreamingModel, **stream: Any) -> Tape:
    return read_tape(record(folder, model, **stream)[0][0])


def recorder_thread_has_seen(recorder: FlightRecorder) -> None:
    wait_for(lambda: any(lane.is_recording for lane in recorder._streams))


# What is kept.


def test_the_ring_holds_the_last_seconds_and_no_more(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    frames = scene_frames(demo_model)
    rate_hz = demo_model.spec.rate_hz
    recorder = FlightRecorder(tmp_path, NEVER)
    stream = demo_model.stream()
    recorder.attach(stream)
    step_all(stream, frames[:60])
    recorder.trigger()
    recorder_thread_has_seen(recorder)
    step_all(stream, frames[60:90], first_s=60 / rate_hz)
    wait_for(lambda: tapes(recorder))
    recorder.close()
    tape = read_tape(tapes(recorder)[0])
    (asked,) = tape.header.told
    before_s = asked.timestamp_s - tape.timestamps_s[0]
    after_s = tape.timestamps_s[-1] - asked.timestamp_s
    assert NEVER.before_s - 1e-6 <= before_s <= NEVER.before_s + NEVER.key_s + 1 / rate_hz + 1e-6
    assert after_s == pytest.approx(NEVER.after_s, abs=1 / rate_hz)
    steps = np.diff(tape.timestamps_s)
    assert steps == pytest.approx(np.full(len(steps), 1 / rate_hz))


def test_the_frames_are_those_that_the_graph_was_given(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    frames = scene_frames(demo_model)
    tape = one_tape(tmp_path, demo_model)
    first = round(tape.timestamps_s[0] * demo_model.spec.rate_hz)
    for number, image in enumerate(tape.images):
        assert image.tobytes() == frames[first + number].tobytes()


def test_large_frames_are_kept_at_the_models_size(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    pytest.importorskip("cv2")
    large = [np.repeat(np.repeat(f, 3, 0), 4, 1) for f in scene_frames(demo_model)]
    recorder = FlightRecorder(tmp_path, SHORT, patient=True)
    watched, plain = demo_model.stream(EAGER), demo_model.stream(EAGER)
    recorder.attach(watched)
    for one, other in zip(step_all(watched, large), step_all(plain, large), strict=True):
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
    recorder.close()
    tape = read_tape(tapes(recorder)[0])
    assert tape.images[0].shape == (96, 96, 3)
    assert replay(tape, demo_model).equal


def test_a_buffer_that_is_used_again_does_not_change_what_was_kept(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    recorder = FlightRecorder(tmp_path, SHORT, patient=True)
    stream = demo_model.stream()
    recorder.attach(stream)
    buffer = np.empty((96, 96, 3), np.uint8)
    for number, image in enumerate(scene_frames(demo_model)):
        buffer[:] = image
        stream.step(buffer, number / 12)
    recorder.close()
    assert all(replay(read_tape(path), demo_model).equal for path in tapes(recorder))


def test_memory_does_not_grow_over_20000_frames(tmp_path: Path, demo_model: StreamingModel) -> None:
    recorder = FlightRecorder(tmp_path, NEVER)
    stream = demo_model.stream()
    recorder.attach(stream)
    frames = scene_frames(demo_model)[:40]
    outputs = [demo_model.infer(f, demo_model.initial_states())[0] for f in frames]
    answers = step_all(demo_model.stream(), frames)
    observer = stream.observer
    assert observer is not None

    def observe(first: int, end: int) -> None:
        """What a step tells, without the cost of the network."""
        for number in range(first, end):
            at = number % len(frames)
            answer = dataclasses.replace(answers[at], timestamp_s=number / 12, events=())
            observer.stepped(frames[at], outputs[at].copy(), answer)

    tracemalloc.start()
    try:
        observe(0, 120)
        early, _ = tracemalloc.get_traced_memory()
        observe(120, 20_120)
        late, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    frame = frames[0].nbytes
    # Between two states, the ring's length goes up and down.
    assert late - early < (NEVER.key_s * 12 + 1) * frame
    kept_s = NEVER.before_s + NEVER.key_s
    assert peak < (kept_s * 12 + 10) * frame * 1.1
    recorder.close()


def test_a_clock_that_stands_still_or_runs_backwards_fills_no_memory(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    recorder = FlightRecorder(tmp_path, NEVER)
    stream = demo_model.stream()
    recorder.attach(stream)
    frame = scene_frames(demo_model)[0]
    for time_s in [5.0] * 100 + [5.0 - n for n in range(100)]:
        stream.step(frame, time_s)
    recorder.trigger()
    recorder_thread_has_seen(recorder)
    recorder.close()
    tape = read_tape(tapes(recorder)[0])
    # A frame counts for half a period at least.
    assert len(tape) <= (NEVER.before_s + NEVER.key_s) * 12 * 2 + 2
    assert replay(tape, demo_model).equal


# When it is written.


def test_each_event_is_written_with_what_was_before_and_after(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    settings = dataclasses.replace(SHORT, before_s=1.0, after_s=0.5, key_s=0.5)
    paths, predictions = record(tmp_path, demo_model, settings)
    starts = [e for p in predictions for e in p.events if e.kind == "start"]
    assert len(starts) == 3
    assert len(paths) == 3
    for path, event in zip(paths, starts, strict=True):
        tape = read_tape(path)
        assert tape.header.reason == f"event: {event.label}"
        assert tape.timestamps_s[0] <= max(event.timestamp_s - 1.0, 0.0) + 1e-9
        assert tape.timestamps_s[-1] == pytest.approx(event.timestamp_s + 0.5, abs=0.1)
        assert (event.label, "start") in [(e.label, e.kind) for e in tape.header.events]


def test_only_the_labels_that_were_asked_for_are_written(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    _, predictions = record(tmp_path / "all", demo_model)
    label = [e for p in predictions for e in p.events if e.kind == "start"][1].label
    paths, _ = record(tmp_path / "one", demo_model, dataclasses.replace(SHORT, labels=(label,)))
    assert [read_tape(path).header.reason for path in paths] == [f"event: {label}"]
    assert record(tmp_path / "none", demo_model, NEVER)[0] == []


def test_events_within_one_window_prolong_one_recording(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    settings = Settings(before_s=2.0, after_s=10.0, longest_s=60.0)
    paths, predictions = record(tmp_path, demo_model, settings)
    assert len(paths) == 1
    told = read_tape(paths[0]).header.told
    assert len(told) == sum(e.kind == "start" for p in predictions for e in p.events) == 3


def test_a_recording_ends_at_its_longest_however_many_events_come(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    settings = Settings(before_s=1.0, after_s=2.0, longest_s=3.0, key_s=0.5)
    paths, _ = record(tmp_path, demo_model, settings, decision=EAGER)
    assert len(paths) >= 3
    for path in paths:
        times = read_tape(path).timestamps_s
        assert times[-1] - times[0] <= settings.longest_s + settings.key_s + 0.2


def test_a_notice_is_noted_and_begins_a_recording_if_it_was_asked_for(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    recorder = FlightRecorder(tmp_path, dataclasses.replace(NEVER, notices=("gap",)))
    one, other = demo_model.stream(), demo_model.stream()
    recorder.attach(one, "one")
    recorder.attach(other, "other")
    frames = scene_frames(demo_model)[:30]
    for stream in (one, other):
        step_all(stream, frames)
    recorder.notice(Notice("slow", "9 of 12 frames a second", 2.4, "one"))
    recorder.notice(Notice("gap", "no frame for 4 s: state reset", 2.5, "one"))
    recorder.close()
    (path,) = tapes(recorder)
    header = read_tape(path).header
    assert (header.camera, header.reason) == ("one", "notice: gap: no frame for 4 s: state reset")
    assert [told.told.partition(":")[0] for told in header.told] == ["slow", "gap"]


def test_a_signal_asks_for_a_recording(tmp_path: Path, demo_model: StreamingModel) -> None:
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        pytest.skip("needs SIGUSR1 and the main thread")
    recorder = FlightRecorder(tmp_path, NEVER)
    stream = demo_model.stream()
    recorder.attach(stream)
    before = signal.signal(signal.SIGUSR1, lambda *_: recorder.trigger("SIGUSR1"))
    try:
        frames = scene_frames(demo_model)
        step_all(stream, frames[:20])
        os.kill(os.getpid(), signal.SIGUSR1)
        recorder_thread_has_seen(recorder)
        step_all(stream, frames[20:40], first_s=20 / 12)
    finally:
        signal.signal(signal.SIGUSR1, before)
    wait_for(lambda: tapes(recorder))
    recorder.close()
    assert read_tape(tapes(recorder)[0]).header.reason == "asked: SIGUSR1"


def test_what_came_is_written_when_no_more_frames_come(
    tmp_path: Path, demo_model: StreamingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that hangs is when one wants the recording."""
    monkeypatch.setattr("edgecap.flight.stream_recorder._IDLE_S", 1.0)
    recorder = FlightRecorder(tmp_path, NEVER)
    stream = demo_model.stream()
    recorder.attach(stream)
    step_all(stream, scene_frames(demo_model)[:20])
    recorder.trigger()
    wait_for(lambda: tapes(recorder))
    assert replay(read_tape(tapes(recorder)[0]), demo_model).equal
    recorder.close()


def test_a_run_tells_what_was_recorded(tmp_path: Path, demo_model: StreamingModel) -> None:
    told: list[Notice] = []
    recorder = FlightRecorder(tmp_path, SHORT, patient=True, told=told.append)
    stream = demo_model.stream()
    recorder.attach(stream, "synthetic:")
    with edgecap.open_source("synthetic:seed=7,gestures=3", size=(96, 96)) as source:
        report = run(source, stream, [recorder])
    recorder.close()
    assert report.events == 3
    assert {notice.kind for notice in told} == {"recorded"}
    assert len(told) == len(tapes(recorder)) >= 1
    assert tapes(recorder)[0].name in told[0].told


def test_a_stream_that_is_recorded_answers_as_one_that_is_not(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    _, recorded = record(tmp_path, demo_model)
    plain = step_all(demo_model.stream(), scene_frames(demo_model))
    for one, other in zip(recorded, plain, strict=True):
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
        assert one.events == other.events


# To the byte.


def test_a_recording_runs_again_to_the_byte(tmp_path: Path, demo_model: StreamingModel) -> None:
    paths, _ = record(tmp_path, demo_model)
    assert paths
    for path in paths:
        tape = read_tape(path)
        result = replay(tape, demo_model)
        assert result.equal
        assert (result.differing, result.largest, result.versions) == (0, 0.0, {})
        assert result.keys >= len(tape) / 12 / SHORT.key_s - 1
        assert [a.new_events for a in result.answers] == [a.events for a in result.answers]


def test_the_recorded_thresholds_are_those_that_decide(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    tape = one_tape(tmp_path, demo_model, decision=EAGER)
    assert tape.header.decision == EAGER
    assert replay(tape, demo_model).equal
    # And are what makes it so.
    other = dataclasses.replace(tape.header, decision=demo_model.spec.decision)
    result = replay(dataclasses.replace(tape, header=other), demo_model)
    assert not result.same_events


def test_a_reset_inside_a_recording_is_repeated(tmp_path: Path, demo_model: StreamingModel) -> None:
    recorder = FlightRecorder(tmp_path, dataclasses.replace(SHORT, labels=(), notices=("gap",)))
    stream = demo_model.stream()
    recorder.attach(stream)
    frames = scene_frames(demo_model)
    step_all(stream, frames[:30])
    stream.reset()
    recorder.notice(Notice("gap", "no frame for 100 s: state reset", 2.5))
    step_all(stream, frames[30:34], first_s=102.5)
    recorder.close()
    tape = read_tape(tapes(recorder)[0])
    result = replay(tape, demo_model)
    assert result.equal
    jumps = [answer.frame for answer in result.answers if answer.jump]
    (after_gap,) = np.flatnonzero(np.diff(tape.timestamps_s) > 50) + 1
    assert jumps[-1] == after_gap == len(tape) - 4


def test_a_stream_that_was_set_to_a_snapshot_is_repeated(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    frames = scene_frames(demo_model)
    recorder = FlightRecorder(tmp_path, NEVER)
    stream = demo_model.stream()
    recorder.attach(stream)
    step_all(stream, frames[:20])
    earlier = stream.snapshot()
    step_all(stream, frames[20:35], first_s=20 / 12)
    stream.restore(earlier)
    recorder.trigger()
    recorder_thread_has_seen(recorder)
    step_all(stream, frames[35:60], first_s=35 / 12)
    recorder.close()
    assert replay(read_tape(tapes(recorder)[0]), demo_model).equal


def test_a_gated_stream_is_repeated_with_its_gate(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    gate = SceneGate(threshold=20.0)
    paths, _ = record(tmp_path, demo_model, gate=gate)
    for path in paths:
        tape = read_tape(path)
        assert tape.header.gate == gate
        assert replay(tape, demo_model).equal
    ungated = dataclasses.replace(tape, header=dataclasses.replace(tape.header, gate=None))
    assert not replay(ungated, demo_model).equal


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_models_of_every_task_and_type_are_recorded(task: str, dtype: str, tmp_path: Path) -> None:
    decision = {} if task == "regression" else dataclasses.asdict(EAGER) | {"background": None}
    model = handmade.model(tmp_path / "model.tflite", task, dtype, **decision)
    recorder = FlightRecorder(tmp_path / "tapes", SHORT, patient=True)
    stream = model.stream()
    recorder.attach(stream)
    predictions = step_all(stream, list(handmade.images(40)))
    recorder.trigger()
    recorder_thread_has_seen(recorder)
    recorder.close()
    events = [event for prediction in predictions for event in prediction.events]
    assert bool(events) == (task != "regression")
    for path in tapes(recorder):
        result = replay(read_tape(path), model)
        assert result.equal
        assert result.keys


def test_a_changed_frame_or_state_is_found(tmp_path: Path, demo_model: StreamingModel) -> None:
    tape = one_tape(tmp_path, demo_model)
    images = [np.array(image) for image in tape.images]
    images[9] = 255 - images[9]
    first = replay(dataclasses.replace(tape, images=images), demo_model).first
    assert first is not None
    assert (first.frame, first.tensor) == (9, "outputs")
    assert first.steps is not None
    assert first.steps >= 1
    arrays = [np.array(array) for array in tape.arrays]
    last = tape.header.keys[-1]
    h = last.memory["object"]["states"]["tuple"][0]["array"]
    arrays[h].flat[0] += 3
    first = replay(dataclasses.replace(tape, arrays=arrays), demo_model).first
    assert first is not None
    assert (first.frame, first.tensor, first.steps) == (last.frame, "state h", 3.0)


def test_other_kernels_are_named_and_measured(tmp_path: Path, demo_path: Path) -> None:
    model = edgecap.load(demo_path)
    result = replay(one_tape(tmp_path, model), edgecap.load(demo_path, kernels="reference"))
    assert result.versions == {"kernels": ("xnnpack", "reference")}
    assert result.largest is not None
    assert result.largest <= model.spec.golden.tolerance


def test_another_model_is_refused_unless_asked_for(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    tape = one_tape(tmp_path, demo_model)
    strange = dataclasses.replace(tape, header=dataclasses.replace(tape.header, model="0" * 64))
    with pytest.raises(FlightError, match="another model"):
        replay(strange, demo_model)
    result = replay(strange, demo_model, other_model=True)
    assert not result.same_model
    assert not result.equal
    assert result.same_events


# The command.


def test_replay_tells_that_all_is_equal(
    tmp_path: Path, demo_model: StreamingModel, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path, demo_model)[0][0]
    with pytest.raises(SystemExit) as ended:
        main(["replay", str(path), "--frames"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "equal to the byte" in told
    assert "clockwise start" in told


def test_replay_fails_on_a_difference(
    tmp_path: Path, demo_model: StreamingModel, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path, demo_model)[0][0]
    with pytest.raises(SystemExit) as ended:
        main(["replay", str(path), "--kernels", "reference"])
    assert ended.value.code == 1
    told = capsys.readouterr().out
    assert "DIFFERENT: first, outputs of frame" in told
    assert "kernels: xnnpack then, reference now" in told


def test_replay_makes_a_video(tmp_path: Path, demo_model: StreamingModel) -> None:
    cv2 = pytest.importorskip("cv2")
    path = record(tmp_path, demo_model)[0][0]
    out = tmp_path / "seen.mp4"
    with pytest.raises(SystemExit) as ended:
        main(["replay", str(path), "--video", str(out)])
    assert ended.value.code == 0
    assert int(cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FRAME_COUNT)) == len(read_tape(path))


def test_replay_of_no_recording_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "no-such.edgetape"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "edgecap: no-such.edgetape: no such file\n"
