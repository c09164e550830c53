"""Test vectors of what follows the network: probabilities, events, and the time of frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgecap.activation import activation
from edgecap.decisions import DecisionSpec, LabelDecision
from edgecap.events import Event
from edgecap.health import Monitor
from edgecap.lane import DEFAULT_MAX_GAP_S, Lane
from edgecap.predictions import decider
from edgecap.quantization import image_tensor
from edgecap.spec import ACTIVATIONS, GoldenSpec, InputSpec, ModelSpec, OutputSpec, TensorSpec

Case = dict[str, Any]


class Writer:
    """Writes into one folder; a file's name is its case's and its part's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._count = 0

    def file(self, data: bytes | np.ndarray) -> str:
        name = f"{self._count:04}.bin"
        self._count += 1
        (self.folder / name).write_bytes(data if isinstance(data, bytes) else data.tobytes())
        return name


def activations(writer: Writer) -> Iterator[Case]:
    """Outputs of each dtype and task; what is exact by construction is marked so."""
    rng = np.random.default_rng(9)
    for task in ACTIVATIONS:
        for dtype in ("int8", "uint8", "int16", "float32"):
            # Few, more than the 8 lanes of NumPy's sum, and more than the 128 of its blocks.
            for labels in (3, 9, 300):
                spec = _spec(task, dtype, labels)
                tensor = spec.output.tensor
                if dtype == "float32":
                    rows = (rng.normal(0, 6, (40, labels))).astype(np.float32)
                else:
                    limits = np.iinfo(dtype)
                    rows = rng.integers(limits.min, limits.max, (40, labels), dtype, endpoint=True)
                apply = activation(OutputSpec(tensor, ACTIVATIONS[task]))
                values = np.stack([apply(row) for row in rows]).astype(np.float32)
                tabled = task == "classification" and dtype in ("int8", "uint8")
                yield {
                    "name": f"{task} {dtype} {labels}",
                    "spec": spec.to_json(),
                    "outputs": writer.file(rows),
                    "expected": writer.file(values),
                    "exact": tabled or task == "regression",
                }


def decisions(writer: Writer) -> Iterator[Case]:
    """Wandering probabilities with jitter, pauses and clocks that are set back."""
    per_label = {"label 1": LabelDecision(enter=0.8, leave=0.5, min_duration_s=0.4)}
    settings = (
        DecisionSpec(),
        DecisionSpec(background="label 0"),
        DecisionSpec(smoothing_s=0.0, min_duration_s=0.0, refractory_s=0.0, settle_s=0.0),
        DecisionSpec(background="label 2", per_label=per_label, refractory_s=1.0),
    )
    for task in ("classification", "multilabel"):
        for number, decision in enumerate(settings):
            yield _decided(writer, f"{task} {number}", _spec(task, "int8", 5, decision), number)
    yield _decided(writer, "regression", _spec("regression", "int8", 5), 7)


def _decided(writer: Writer, name: str, spec: ModelSpec, seed: int, frames: int = 500) -> Case:
    rng = np.random.default_rng(seed)
    labels = len(spec.labels)
    wanted = rng.integers(0, labels, frames // 12 + 1).repeat(12)[:frames]
    values = rng.random((frames, labels)) * 0.5
    values[np.arange(frames), wanted] += 1.5 * rng.random(frames)
    if spec.task == "classification":
        values /= values.sum(axis=1, keepdims=True)
    values = np.minimum(values, 1).astype(np.float32)
    steps = rng.uniform(0.5, 1.5, frames) / spec.rate_hz
    steps[100], steps[250] = 3.0, -5.0
    times = 1e5 + steps.cumsum()
    reset_after = frames * 3 // 4
    deciding = decider(spec.task, spec.labels, spec.decision)
    texts, active, settled, scores = [], [], [], []
    for frame in range(frames):
        prediction = deciding.predict(values[frame], float(times[frame]))
        texts.append(told(prediction.events))
        active.append(" ".join(deciding.active))
        settled.append(prediction.settled)
        scores += [event.score for event in prediction.events]
        if frame == reset_after:
            deciding.reset()
    return {
        "name": name,
        "spec": spec.to_json(),
        "values": writer.file(values),
        "times": writer.file(times),
        "reset_after": reset_after,
        "told": texts,
        "active": active,
        "settled": settled,
        "scores": writer.file(np.array(scores, np.float32)),
    }


def lanes(writer: Writer) -> Iterator[Case]:
    """Which frames of a camera are taken, and which pauses reset the state."""
    rng = np.random.default_rng(10)
    for rate_hz, camera_hz in ((12.0, 30.0), (12.0, 12.0), (30.0, 24.0), (0.5, 30.0)):
        frames = 400
        steps = rng.uniform(0.8, 1.2, frames) / camera_hz
        steps[50], steps[120], steps[121], steps[200], steps[300] = 2.01, 1.99, 0.3, -1.0, 7.0
        times = 50.0 + steps.cumsum()
        stream = SimpleNamespace(
            model=SimpleNamespace(spec=SimpleNamespace(rate_hz=rate_hz)),
            active=(),
            reset=lambda: None,
            step=lambda image, time: SimpleNamespace(events=()),
        )
        monitor = Monitor()
        lane = Lane(
            "camera",
            stream,  # type: ignore[arg-type]
            live=False,
            max_gap_s=DEFAULT_MAX_GAP_S,
            monitor=monitor,
            tell=lambda notice: None,
        )
        accepted = [
            lane.take(SimpleNamespace(image=None, timestamp_s=float(time), index=index)) is not None  # type: ignore[arg-type]
            for index, time in enumerate(times)
        ]
        yield {
            "name": f"{camera_hz} to {rate_hz} Hz",
            "rate_hz": rate_hz,
            "times": writer.file(times),
            "accepted": accepted,
            "resets": monitor.resets,
        }


def stream_spec() -> ModelSpec:
    """Two states whose zero-points are not 0."""
    states = (
        TensorSpec("a", (1, 3), "int8", 0.5, -22),
        TensorSpec("b", (1, 2), "int16", 0.25, 7),
    )
    return dataclasses.replace(_spec("classification", "int8", 3), states=states)


def told(events: tuple[Event, ...]) -> str:
    return " ".join(f"{event.kind}:{event.label}" for event in events)


def _spec(task: str, dtype: str, labels: int, decision: DecisionSpec | None = None) -> ModelSpec:
    grid = {} if dtype == "float32" else {"scale": 0.08 if dtype != "int16" else 0.002}
    output = TensorSpec("logits", (1, labels), dtype, **grid)
    return ModelSpec(
        name="vector",
        task=task,
        rate_hz=12.0,
        labels=tuple(f"label {number}" for number in range(labels)),
        input=InputSpec(image_tensor(8, 8)),
        states=(),
        output=OutputSpec(output, ACTIVATIONS[task]),
        decision=decision or DecisionSpec(),
        golden=GoldenSpec(1, "none"),
        recipe="none",
    )
