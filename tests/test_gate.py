"""The gate: which frames are encoded, and that a gated stream is otherwise a stream like any."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgecap
from edgecap.errors import ConfigError, FrameError
from edgecap.gate import SceneGate, Seen
from edgecap.streaming import Stream, StreamingModel
from tests import handmade
from tests.test_streaming import EAGER, answer, play

Frames = npt.NDArray[np.uint8]


def noisy(picture: npt.NDArray[np.uint8], count: int, sigma: float, seed: int = 0) -> Frames:
    """A still scene as a sensor sees it: noise that all channels share, and some of their own."""
    rng = np.random.default_rng(seed)
    shape = (count, *picture.shape)
    noise = rng.normal(0, sigma, (*shape[:3], 1)) + rng.normal(0, sigma / 2, shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def encoded_frames(stream: Stream[Any], frames: Frames, times_s: Any = None) -> list[int]:
    """The numbers of the frames that the encoder looked at."""
    found = []
    for number, frame in enumerate(frames):
        stream.step(frame, None if times_s is None else times_s[number])
        if not stream.skipped:
            found.append(number)
    return found


@pytest.fixture(scope="module")
def model(demo_path: Path) -> StreamingModel:
    """A model of this module's own: a gate changes how it computes."""
    return edgecap.load(demo_path)


@pytest.fixture(scope="module")
def still(frames: Frames) -> Frames:
    return noisy(frames[0], 80, sigma=4.0)


@pytest.fixture(scope="module")
def mixed(frames: Frames, still: Frames) -> Frames:
    """Still, moving, still again: a gate closes, opens and closes."""
    return np.concatenate([still[:10], frames, noisy(frames[-1], 15, sigma=3.0)])


def blocks(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    return SceneGate().blocks(picture)


def test_blocks_are_the_sums_of_eight_by_eight_pixels() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((96, 96), (160, 224), (8, 8)):
        for picture in (
            rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            np.full((height, width, 3), 255, np.uint8),
        ):
            parts = picture.astype(int).reshape(height // 8, 8, width // 8, 24)
            assert blocks(picture).tolist() == parts.sum(axis=(1, 3)).ravel().tolist()


@pytest.mark.parametrize("size", [(4, 4), (97, 96), (95, 101)])
def test_a_change_in_any_corner_of_any_size_is_seen(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 100, np.uint8)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        changed = picture.copy()
        changed[row, column] = 255
        assert np.abs(blocks(changed) - blocks(picture)).max() >= 3 * 155


def test_a_view_that_is_not_contiguous_is_read_as_its_copy() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for view in (picture[::-1], picture[:, ::-1], picture[..., ::-1], picture[:32, 32:64]):
        assert blocks(view).tolist() == blocks(view.copy()).tolist()


def test_sensor_noise_does_not_open_the_gate(model: StreamingModel, still: Frames) -> None:
    gate = SceneGate(refresh_s=1e6)
    assert encoded_frames(model.stream(gate=gate), still) == [0]


def test_what_moves_opens_it_at_once(model: StreamingModel, still: Frames) -> None:
    """A square of 12 pixels, 40 grey levels brighter than what it covers."""
    moved = still.copy()
    for number in range(20, 30):
        column = 4 * (number - 20)
        patch = moved[number, 40:52, column : column + 12].astype(int) + 40
        moved[number, 40:52, column : column + 12] = np.clip(patch, 0, 255)
    found = encoded_frames(model.stream(gate=SceneGate(refresh_s=1e6)), moved)
    # And once more for the place that it left.
    assert found == [0, *range(20, 31)]


def test_what_changes_slowly_adds_up(model: StreamingModel) -> None:
    """A tenth of a grey level a frame: never seen between two frames, every 41st against."""
    levels = 100 + 0.1 * np.arange(100)
    # Every second, third, … pixel is one level brighter, so that the mean rises evenly.
    pattern = np.random.default_rng(0).permutation(64).reshape(8, 8) / 64
    tiled = np.tile(pattern, (12, 12))[None, ..., None]
    frames = np.floor(levels[:, None, None, None] + np.repeat(tiled, 3, axis=-1)).astype(np.uint8)
    gate = SceneGate(threshold=4.0, refresh_s=1e6, max_skips=1000)
    seen = [Seen(gate.blocks(frame), (), 0.0) for frame in frames]
    steps = [gate.change(a, b.blocks) for a, b in itertools.pairwise(seen)]
    assert max(steps) < 0.2
    found = encoded_frames(model.stream(gate=gate), frames)
    assert found[0] == 0
    assert np.diff(found).tolist() == pytest.approx([41] * (len(found) - 1), abs=2)
    assert len(found) == 3


def test_features_are_refreshed_by_time(model: StreamingModel, still: Frames) -> None:
    times_s = np.arange(len(still)) / 10
    stream = model.stream(gate=SceneGate(refresh_s=2.0))
    assert encoded_frames(stream, still, times_s) == [0, 20, 40, 60]
    assert (stream.frames, stream.encoded) == (80, 4)


@pytest.mark.parametrize("times_s", [[5.0] * 80, [0.0, *[1e-9] * 79]], ids=["stopped", "hardly"])
def test_a_clock_that_stands_still_cannot_keep_the_gate_closed(
    model: StreamingModel, still: Frames, times_s: list[float]
) -> None:
    stream = model.stream(gate=SceneGate(max_skips=9))
    assert encoded_frames(stream, still, times_s) == list(range(0, 80, 10))


@pytest.mark.parametrize("then_s", [-3600.0, 1e12, float("nan")])
def test_a_clock_that_jumps_opens_the_gate(
    model: StreamingModel, still: Frames, then_s: float
) -> None:
    times_s = [100.0, 100.1, 100.2, then_s, then_s, then_s]
    found = encoded_frames(model.stream(gate=SceneGate()), still[:6], times_s)
    assert found[:2] == [0, 3]


def test_no_skips_allowed_is_every_frame_encoded(model: StreamingModel, still: Frames) -> None:
    gate = SceneGate(max_skips=0)
    assert encoded_frames(model.stream(gate=gate), still[:9]) == list(range(9))


def test_a_gate_that_is_always_open_changes_no_answer(
    model: StreamingModel, demo_model: StreamingModel, frames: Frames
) -> None:
    gated = model.stream(EAGER, gate=SceneGate(max_skips=0))
    assert play(gated, frames) == play(demo_model.stream(EAGER), frames)


def test_a_skipped_frame_still_steps_the_memory(model: StreamingModel, still: Frames) -> None:
    """The answer is that of the whole model to the encoded frame, seen again."""
    repeated = np.broadcast_to(still[0], still.shape)
    gated = play(model.stream(EAGER, gate=SceneGate()), still)
    assert (
        gated == play(model.stream(EAGER, gate=SceneGate(max_skips=0)), repeated[:36]) + gated[36:]
    )
    probabilities = [row[2] for row in gated[:36]]
    assert len(set(probabilities)) > 5, "the state goes on from frame to frame"


def test_without_a_gate_every_frame_is_encoded(model: StreamingModel, still: Frames) -> None:
    stream = model.stream()
    assert encoded_frames(stream, still[:9]) == list(range(9))
    assert (stream.frames, stream.encoded, stream.gate) == (9, 9, None)


def test_ungated_streams_of_a_gated_model_answer_as_before(
    model: StreamingModel, demo_model: StreamingModel, mixed: Frames
) -> None:
    model.stream(gate=SceneGate())
    assert play(model.stream(EAGER), mixed) == play(demo_model.stream(EAGER), mixed)


def test_a_reset_forgets_the_picture(model: StreamingModel, mixed: Frames) -> None:
    stream = model.stream(EAGER, gate=SceneGate())
    fresh = play(stream, mixed)
    share = stream.encoded
    assert 0 < share < len(mixed)
    stream.reset()
    assert (stream.frames, stream.encoded, stream.skipped) == (0, 0, False)
    assert play(stream, mixed) == fresh
    assert stream.encoded == share


@pytest.mark.parametrize("at", [5, 20, 55])
def test_restore_and_fork_carry_the_picture_and_its_features(
    model: StreamingModel, mixed: Frames, at: int
) -> None:
    stream = model.stream(EAGER, gate=SceneGate())
    play(stream, mixed[:at])
    snapshot, fork = stream.snapshot(), stream.fork()
    other = model.stream(EAGER, gate=SceneGate())
    first = play(stream, mixed[at:])
    assert play(fork, mixed[at:]) == first
    play(stream, mixed[:7])
    for each in (stream, other):
        each.restore(snapshot)
        assert play(each, mixed[at:]) == first
        assert each.encoded == fork.encoded < each.frames


def test_a_wrong_frame_leaves_a_gated_stream_as_it_was(
    model: StreamingModel, mixed: Frames
) -> None:
    whole = play(model.stream(EAGER, gate=SceneGate()), mixed)
    stream = model.stream(EAGER, gate=SceneGate())
    play(stream, mixed[:30])
    with pytest.raises(FrameError, match="frame: expected"):
        stream.step(np.zeros((96, 96), np.uint8))
    assert play(stream, mixed[30:]) == whole[30:]


def test_eight_interleaved_streams_gated_or_not_equal_separate_runs(
    model: StreamingModel, mixed: Frames
) -> None:
    material = [np.roll(mixed, 7 * number, axis=0) for number in range(8)]
    gates = [SceneGate(), None, SceneGate(threshold=1.0), None] * 2
    together = [model.stream(EAGER, gate=gate) for gate in gates]
    answers: list[list[tuple[object, ...]]] = [[] for _ in together]
    for number in range(len(mixed)):
        for stream, frames, given in zip(together, material, answers, strict=True):
            given.append(answer(stream.step(frames[number])))
    for gate, frames, given in zip(gates, material, answers, strict=True):
        assert given == play(model.stream(EAGER, gate=gate), frames)


def test_threads_on_one_model_gated_or_not_answer_as_one_would(
    demo_path: Path, mixed: Frames
) -> None:
    """Also while the first of them has the model cut."""
    reference = edgecap.load(demo_path)
    gates = [SceneGate(), None, SceneGate(), None]
    alone = [play(reference.stream(EAGER, gate=gate), mixed) for gate in gates]
    model = edgecap.load(demo_path)
    together: list[list[tuple[object, ...]]] = [[] for _ in gates]
    barrier = threading.Barrier(len(gates))

    def work(number: int) -> None:
        barrier.wait()
        for _ in range(3):
            together[number] = play(model.stream(EAGER, gate=gates[number]), mixed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(gates))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert together == alone


def test_a_model_whose_state_is_the_image_before_can_be_gated(tmp_path: Path) -> None:
    """The state is a feature: it is carried on whether the frame is encoded or not."""
    model = handmade.model(tmp_path / "model.tflite", "regression")
    frames = np.repeat(handmade.images(6), 4, axis=0)
    stream = model.stream(gate=SceneGate(threshold=0.0))
    values = [stream.step(frame).values for frame in frames]
    np.testing.assert_allclose(values, handmade.expected(frames), rtol=1e-6, atol=1e-6)
    assert stream.encoded == 6


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": -1.0},
        {"threshold": 256.0},
        {"threshold": float("nan")},
        {"refresh_s": 0.0},
        {"refresh_s": float("inf")},
        {"max_skips": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"gate .*expected"):
        SceneGate(**settings)


def test_looking_at_a_picture_costs_little_beside_encoding_it(demo_model: StreamingModel) -> None:
    gate = SceneGate()
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    seen = Seen(gate.blocks(picture), (), 0.0)
    states = demo_model.initial_states()
    looking_s, stepping_s = [], []
    for _ in range(100):
        began = time.perf_counter()
        gate.opens(seen, gate.blocks(picture), 0.1)
        looked = time.perf_counter()
        demo_model.infer(picture, states)
        looking_s.append(looked - began)
        stepping_s.append(time.perf_counter() - looked)
    # A tenth to a fifth, with this smallest of networks. The least of many, in turns: no load of
    # others, and on whatever machine.
    assert min(looking_s) < 0.7 * min(stepping_s)
