"""Streams: state is carried, forgotten, saved and copied, and belongs to nobody else."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgecap
from edgecap.activation import activation
from edgecap.bundle import write_bundle
from edgecap.errors import BackendError, FrameError, StateError
from edgecap.golden import replay
from edgecap.interpreter import KERNELS
from edgecap.predictions import (
    ClassPrediction,
    MultiLabelPrediction,
    Prediction,
    RegressionPrediction,
)
from edgecap.quantization import dequantize
from edgecap.spec import ACTIVATIONS, ModelSpec, OutputSpec
from edgecap.streaming import Stream, StreamingModel
from tests import handmade

Frames = npt.NDArray[np.uint8]
# Kernels round ties and the float cell state differently, and the state carries it on: 8 steps of a
# logit were the most in 1,400 frames of five scenes. Half as many again; a wrong kernel gives tens.
_KERNEL_STEPS = 12
# A detector with these thresholds reports events on any model, however badly trained.
EAGER = edgecap.DecisionSpec(
    smoothing_s=0.05, enter=0.02, leave=0.02, min_duration_s=0.0, refractory_s=0.0, settle_s=0.0
)


def answer(prediction: Prediction) -> tuple[object, ...]:
    """A prediction as values that compare exactly; its events come second to last."""
    values = [
        value.tobytes() if isinstance(value, np.ndarray) else value
        for name, value in vars(prediction).items()
        if name not in ("timestamp_s", "events")
    ]
    return (*values, prediction.events, prediction.timestamp_s)


def play(stream: Stream[Any], frames: Frames) -> list[tuple[object, ...]]:
    return [answer(stream.step(frame)) for frame in frames]


def rewritten(path: Path, model: StreamingModel, spec: ModelSpec) -> StreamingModel:
    bundle = model.bundle
    write_bundle(path, model=bundle.model, spec=spec, golden=bundle.golden, card=bundle.card)
    return edgecap.load(path)


def test_another_history_gives_another_answer_to_the_same_frame(
    demo_model: StreamingModel, frames: Frames
) -> None:
    after_one, after_another = demo_model.stream(), demo_model.stream()
    play(after_one, frames[:10])
    play(after_another, frames[20:21])
    states_one, states_another = after_one.snapshot().states, after_another.snapshot().states
    logits_one, _ = demo_model.infer(frames[30], states_one)
    logits_another, _ = demo_model.infer(frames[30], states_another)
    assert logits_one.tobytes() != logits_another.tobytes()


def test_a_stream_is_infer_with_the_states_handed_on(
    demo_model: StreamingModel, frames: Frames
) -> None:
    logits = replay(demo_model, frames)
    stream = demo_model.stream()
    for frame, expected in zip(frames, logits, strict=True):
        prediction = stream.step(frame)
        probabilities = demo_model.activate(expected)
        assert prediction.probabilities.tobytes() == probabilities.tobytes()
        assert prediction.label == demo_model.labels[int(probabilities.argmax())]
        assert prediction.score == probabilities.max()


def test_infer_does_not_change_the_states_it_is_given(
    demo_model: StreamingModel, frames: Frames
) -> None:
    states = demo_model.initial_states()
    before = [state.tobytes() for state in states]
    _, following = demo_model.infer(frames[0], states)
    kept = [state.tobytes() for state in following]
    demo_model.infer(frames[1], following)
    assert [state.tobytes() for state in states] == before
    assert [state.tobytes() for state in following] == kept


def test_the_initial_states_mean_zero(demo_model: StreamingModel) -> None:
    for state, spec in zip(demo_model.initial_states(), demo_model.spec.states, strict=True):
        assert (state.shape, state.dtype.name) == (spec.shape, spec.dtype)
        assert not dequantize(state, spec).any()


def test_reset_forgets_everything(demo_model: StreamingModel, frames: Frames) -> None:
    fresh = play(demo_model.stream(EAGER), frames)
    stream = demo_model.stream(EAGER)
    play(stream, frames[::-1])
    stream.reset()
    assert stream.frames == 0
    assert stream.active == ()
    assert play(stream, frames) == fresh


def test_restore_replays_identically(demo_model: StreamingModel, frames: Frames) -> None:
    stream = demo_model.stream(EAGER)
    play(stream, frames[:15])
    snapshot = stream.snapshot()
    first = play(stream, frames[15:])
    assert any(events for *_, events, _ in first), "the replay should cover events too"
    play(stream, frames[:7])
    for _ in range(2):
        stream.restore(snapshot)
        assert stream.frames == 15
        assert play(stream, frames[15:]) == first


def test_a_snapshot_restores_into_another_stream_of_the_model(
    demo_model: StreamingModel, frames: Frames
) -> None:
    stream, other = demo_model.stream(EAGER), demo_model.stream(EAGER)
    play(stream, frames[:15])
    other.restore(stream.snapshot())
    assert play(other, frames[15:]) == play(stream, frames[15:])


def test_a_fork_goes_its_own_way(demo_model: StreamingModel, frames: Frames) -> None:
    whole = play(demo_model.stream(EAGER), frames)
    stream = demo_model.stream(EAGER)
    play(stream, frames[:15])
    fork = stream.fork()
    play(fork, frames[:9])
    assert play(stream, frames[15:]) == whole[15:]
    late = stream.fork()
    assert late.frames == stream.frames == len(frames)
    late.reset()
    assert play(late, frames) == whole


def test_interleaved_streams_equal_separate_runs(
    demo_model: StreamingModel, frames: Frames
) -> None:
    backwards = frames[::-1]
    a, b = demo_model.stream(EAGER), demo_model.stream(EAGER)
    mixed = [
        (answer(a.step(one)), answer(b.step(other)))
        for one, other in zip(frames, backwards, strict=True)
    ]
    assert [x for x, _ in mixed] == play(demo_model.stream(EAGER), frames)
    assert [x for _, x in mixed] == play(demo_model.stream(EAGER), backwards)


def test_two_threads_on_one_model_answer_as_one_would(
    demo_model: StreamingModel, frames: Frames
) -> None:
    material = [np.concatenate([frames, frames[::-1]])] * 2
    material[1] = material[1][::-1]
    alone = [play(demo_model.stream(), m) for m in material]
    together: list[list[tuple[object, ...]]] = [[], []]
    barrier = threading.Barrier(2)

    def work(number: int) -> None:
        stream = demo_model.stream()
        barrier.wait()
        for _ in range(5):
            stream.reset()
            together[number] = play(stream, material[number])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert together == alone


def test_a_snapshot_of_another_model_is_refused_and_the_stream_goes_on(
    demo_model: StreamingModel, frames: Frames
) -> None:
    whole = play(demo_model.stream(), frames)
    stream = demo_model.stream()
    play(stream, frames[:15])
    foreign = dataclasses.replace(stream.snapshot(), model="0" * 64)
    with pytest.raises(StateError, match="another model"):
        stream.restore(foreign)
    assert play(stream, frames[15:]) == whole[15:]


def test_a_snapshot_of_a_model_with_other_labels_is_refused(
    demo_model: StreamingModel, frames: Frames, tmp_path: Path
) -> None:
    """The states have the same shape; what they mean, and the labels of the events, do not."""
    labels = tuple(f"other {label}" for label in demo_model.labels)
    decision = dataclasses.replace(demo_model.spec.decision, background=None)
    spec = dataclasses.replace(demo_model.spec, labels=labels, decision=decision)
    other = rewritten(tmp_path / "other.tflite", demo_model, spec)
    stream = other.stream()
    play(stream, frames[:3])
    with pytest.raises(StateError):
        demo_model.stream().restore(stream.snapshot())


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((96, 96), np.uint8),
        np.zeros((96, 96, 4), np.uint8),
        np.zeros((1, 96, 96, 3), np.uint8),
        np.zeros((0, 96, 3), np.uint8),
        np.zeros((96, 96, 3), np.float32),
        np.zeros((96, 96, 3), np.int8),
        [[[0, 0, 0]]],
        None,
        b"frame",
    ],
    ids=["grey", "rgba", "batch", "empty", "float", "int8", "list", "none", "bytes"],
)
def test_a_wrong_frame_is_refused_and_the_stream_goes_on(
    demo_model: StreamingModel, frames: Frames, image: object
) -> None:
    whole = play(demo_model.stream(EAGER), frames)
    stream = demo_model.stream(EAGER)
    play(stream, frames[:15])
    with pytest.raises(FrameError, match="frame: expected"):
        stream.step(image)  # type: ignore[arg-type]
    assert stream.frames == 15
    assert play(stream, frames[15:]) == whole[15:]


def test_probabilities_sum_to_one(demo_model: StreamingModel, frames: Frames) -> None:
    stream = demo_model.stream()
    for frame in frames:
        probabilities = stream.step(frame).probabilities
        assert probabilities.shape == (len(demo_model.labels),)
        assert probabilities.dtype == np.float32
        assert probabilities.min() >= 0
        # Nine float32 numbers, each rounded once.
        assert float(probabilities.sum()) == pytest.approx(1.0, abs=1e-6)


def test_the_softmax_table_is_the_plain_softmax(demo_model: StreamingModel) -> None:
    output = demo_model.spec.output.tensor
    rng = np.random.default_rng(0)
    rows = rng.integers(-128, 128, (200, len(demo_model.labels))).astype(output.dtype)
    rows[0], rows[1] = -128, 127
    rows[2, 0], rows[2, 1:] = 127, -128
    for logits in rows:
        real = dequantize(logits, output).astype(np.float64)
        plain = np.exp(real - real.max())
        plain /= plain.sum()
        # float32 rounds the difference x to the largest logit by 2⁻²⁴, exp makes that x · 2⁻²⁴;
        # x is below 60 here.
        np.testing.assert_allclose(demo_model.activate(logits), plain, rtol=5e-6, atol=1e-9)


def test_timestamps_go_on_by_the_models_rate_where_none_are_given(
    demo_model: StreamingModel, frames: Frames
) -> None:
    period_s = 1 / demo_model.spec.rate_hz
    stream = demo_model.stream()
    times = [stream.step(frame).timestamp_s for frame in frames[:4]]
    assert times == pytest.approx([0, period_s, 2 * period_s, 3 * period_s])


def test_a_frame_without_a_timestamp_comes_one_period_after_the_one_before(
    demo_model: StreamingModel, frames: Frames
) -> None:
    stream = demo_model.stream()
    assert stream.step(frames[0], 100.0).timestamp_s == 100.0
    expected = 100.0 + 1 / demo_model.spec.rate_hz
    assert stream.step(frames[1]).timestamp_s == pytest.approx(expected)


def test_the_kernels_agree_over_a_stream(demo_path: Path, frames: Frames) -> None:
    logits = {
        kernels: replay(edgecap.load(demo_path, kernels=kernels), frames).astype(int)
        for kernels in KERNELS
    }
    first = logits["builtin"]
    top = np.sort(first, axis=1)
    # Two logits that both may move by the tolerance may change places within twice of it.
    clear = top[:, -1] - top[:, -2] > 2 * _KERNEL_STEPS
    assert clear.any()
    for kernels, found in logits.items():
        assert np.abs(found - first).max() <= _KERNEL_STEPS, kernels
        assert (found.argmax(axis=1) == first.argmax(axis=1))[clear].all(), kernels


def test_the_number_of_threads_does_not_change_the_answer(
    demo_model: StreamingModel, demo_path: Path, frames: Frames
) -> None:
    two = edgecap.load(demo_path, threads=2)
    assert two.backend.threads == 2
    assert replay(two, frames[:10]).tobytes() == replay(demo_model, frames[:10]).tobytes()


def test_unknown_kernels_threads_and_backends_are_refused(demo_path: Path) -> None:
    for wrong in ({"kernels": "gpu"}, {"threads": 0}, {"backend": "onnx"}):
        with pytest.raises(BackendError, match=next(iter(wrong))):
            edgecap.load(demo_path, **wrong)  # type: ignore[arg-type]


TASKS = list(ACTIVATIONS)
DTYPES = list(handmade.OUTPUTS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
def test_states_of_every_shape_are_carried(tmp_path: Path, task: str, dtype: str) -> None:
    """Attention's memory, a feature map, two layers: against the formulas, frame by frame."""
    model = handmade.model(tmp_path / "model.tflite", task, dtype)
    frames = handmade.images(12)
    output = model.spec.output.tensor
    outputs = dequantize(replay(model, frames), output)
    # A quantised output is rounded once.
    atol = 1e-6 if dtype == "float32" else 0.5001 * output.scale
    np.testing.assert_allclose(outputs, handmade.expected(frames), rtol=0, atol=atol)


@pytest.mark.parametrize("task", TASKS)
def test_streams_of_every_task_reset_restore_and_fork(tmp_path: Path, task: str) -> None:
    decision = {} if task == "regression" else dataclasses.asdict(EAGER)
    model = handmade.model(tmp_path / "model.tflite", task, "int8", **decision)
    frames = handmade.images(30)
    stream = model.stream()
    whole = play(stream, frames)
    assert any(events for *_, events, _ in whole) == (task != "regression")
    stream.reset()
    assert (stream.frames, stream.active) == (0, ())
    assert play(stream, frames[:11]) == whole[:11]
    snapshot, fork = stream.snapshot(), stream.fork()
    assert [state.shape for state in snapshot.states] == [s.shape for s in handmade.STATES]
    assert play(stream, frames[11:]) == whole[11:]
    assert play(fork, frames[11:]) == whole[11:]
    stream.restore(snapshot)
    assert play(stream, frames[11:]) == whole[11:]


def test_a_snapshot_of_a_model_with_another_task_is_refused(tmp_path: Path) -> None:
    """The same graph and labels: states that fit, and events that mean something else."""
    one = handmade.model(tmp_path / "one.tflite", "classification")
    other = handmade.model(tmp_path / "other.tflite", "multilabel")
    assert one.bundle.model == other.bundle.model
    with pytest.raises(StateError, match="another model"):
        other.stream().restore(one.stream().snapshot())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_classifier_gives_probabilities_that_sum_to_one(tmp_path: Path, dtype: str) -> None:
    model = handmade.model(tmp_path / "model.tflite", "classification", dtype)
    for frame in handmade.images(8):
        prediction = model.stream().step(frame)
        assert isinstance(prediction, ClassPrediction)
        assert prediction.probabilities.dtype == np.float32
        assert float(prediction.probabilities.sum()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_regression_gives_the_real_values(tmp_path: Path, dtype: str) -> None:
    model = handmade.model(tmp_path / "model.tflite", "regression", dtype)
    frames = handmade.images(9)
    stream: Stream[RegressionPrediction] = model.stream()
    predictions = [stream.step(frame) for frame in frames]
    assert all(isinstance(p, RegressionPrediction) and p.events == () for p in predictions)
    assert all(p.values.dtype == np.float32 and p.values.shape == (3,) for p in predictions)
    output = model.spec.output.tensor
    np.testing.assert_allclose(
        [p.values for p in predictions],
        handmade.expected(frames),
        rtol=0,
        atol=1e-6 if dtype == "float32" else 0.5001 * output.scale,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_multilabel_gives_independent_probabilities(tmp_path: Path, dtype: str) -> None:
    model = handmade.model(tmp_path / "model.tflite", "multilabel", dtype)
    frames = handmade.images(9)
    stream: Stream[MultiLabelPrediction] = model.stream()
    predictions = [stream.step(frame) for frame in frames]
    real = dequantize(replay(model, frames), model.spec.output.tensor).astype(np.float64)
    np.testing.assert_allclose(
        [p.probabilities for p in predictions], 1 / (1 + np.exp(-real)), rtol=2e-6
    )
    for prediction in predictions:
        assert isinstance(prediction, MultiLabelPrediction)
        assert prediction.score == prediction.probabilities.max()
        assert prediction.label == model.labels[int(prediction.probabilities.argmax())]


def test_several_labels_may_be_under_way_at_once(tmp_path: Path) -> None:
    decision = {"smoothing_s": 0.0, "enter": 0.6, "leave": 0.4, "min_duration_s": 0.0}
    model = handmade.model(
        tmp_path / "model.tflite", "multilabel", **decision, refractory_s=0.0, settle_s=0.0
    )
    # Red and blue rise together, blue falls before red; green never leaves 0.
    frames = handmade.images(24)
    frames[:] = 128
    frames[:6, ..., 0] = 150
    frames[6:12, ..., 0] = 106
    frames[:4, ..., 2] = 150
    frames[4:12, ..., 2] = 106
    stream: Stream[MultiLabelPrediction] = model.stream()
    predictions = [stream.step(frame) for frame in frames]
    started = [e.label for p in predictions for e in p.events if e.kind == "start"]
    ended = [e.label for p in predictions for e in p.events if e.kind == "end"]
    assert started == ["red", "blue"]
    assert ended == ["blue"]
    assert ("red", "blue") in [p.active for p in predictions]
    assert predictions[-1].active == stream.active == ("red",)
    # Each label's own two thresholds, held against its probabilities.
    for column, label in enumerate(model.labels):
        active = False
        for prediction in predictions:
            p = prediction.probabilities[column]
            active = p >= 0.4 if active else p >= 0.6
            assert (label in prediction.active) == active


def test_the_background_of_a_multilabel_model_is_no_event(tmp_path: Path) -> None:
    eager = dataclasses.asdict(EAGER) | {"background": "red"}
    model = handmade.model(tmp_path / "model.tflite", "multilabel", **eager)
    stream = model.stream()
    predictions = [stream.step(frame) for frame in handmade.images(5)]
    assert {e.label for p in predictions for e in p.events} == {"green", "blue"}


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_the_sigmoid_table_is_the_plain_sigmoid(dtype: str) -> None:
    tensor = dataclasses.replace(
        handmade.OUTPUTS["int8"], shape=(1, 256), dtype=dtype, scale=0.25, zero_point=5
    )
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1).astype(dtype)
    plain = 1 / (1 + np.exp(-dequantize(values, tensor).astype(np.float64)))
    found = activation(OutputSpec(tensor, "sigmoid"))(values)
    np.testing.assert_allclose(found, plain, rtol=2e-6)


def test_a_float_sigmoid_neither_overflows_nor_loses_what_is_small() -> None:
    sigmoid = activation(OutputSpec(handmade.OUTPUTS["float32"], "sigmoid"))
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(np.array([-1000.0, -30.0, 1000.0], np.float32))
    assert found.tolist() == [0.0, pytest.approx(np.exp(-30.0), rel=1e-4), 1.0]
