"""The drift audit: does the file stay beside the network, however long it runs?

Recordings are joined in random order, again and again, with stretches of noise between them, and
streamed without any reset through the float network, the fake-quantised one and the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Recording
from edgecap.spec import TensorSpec
from edgecap.streaming import StreamingModel
from edgecap_convert.models.recurrent import CELL_CLIP
from edgecap_convert.parity.stalls import stalled
from edgecap_convert.parity.steps import HISTOGRAM, WITHIN_ONE, same_answers, step_of
from edgecap_convert.parity.trace import NetworkTracer, Trace, Tracers, trace_model

#: Frames of an audit, unless said otherwise.
AUDIT_FRAMES = 10_000

# Frames of recordings that are kept in memory; they come again in another order.
_DISTINCT = 2500
_LONGEST = 256
# Every so many stretches, and for so many seconds, the camera shows noise.
_NOISE_EVERY, _NOISE_S = 8, 4.0
_BLOCKS = 100
# Left out of the trend: the three begin equal.
_WARM_UP = 0.05
_GROWTH, _SURE = 1.15, 4.0
_WORST = 8
# Share of all seconds from which on stalling is told.
_STALLING = 0.02

_Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Stretch:
    images: _Images
    grids: tuple[npt.NDArray[np.float32], ...]


def audit_drift(
    tracers: Tracers,
    model: StreamingModel,
    recordings: Iterable[Recording],
    *,
    frames: int = AUDIT_FRAMES,
    seed: int = 0,
) -> dict[str, Any]:
    """Streams the file beside the networks.

    Args:
      tracers: of the networks behind it. model: the file. recordings: what is joined.
      frames: at least so many. seed: of the order, and of the noise.

    Returns:
      ``frames``, ``seconds`` (of the stream), ``same_answers`` (with ``float`` and ``fake_quant``;
      none of a regression),
      ``tensors`` (difference to what the file was made of, in steps, see ``steps.summary``),
      ``blocks`` (the course of the errors), ``units`` (how often each state's units saturate and
      stall), ``trend``, ``reset_every_s`` (``None``: never) and ``verdict``.
    """
    present = tracers.present
    stretches, noise = _stretches(present, model, recordings, seed)
    course = _Course(model)
    states, carried = [tracer.reset() for tracer in present], model.initial_states()
    for stretch in _order(stretches, noise, frames, seed):
        traces = []
        for i, (tracer, grids) in enumerate(zip(present, stretch.grids, strict=True)):
            trace, states[i] = tracer.run(grids, states[i])
            traces.append(trace)
        found, carried = trace_model(model, stretch.images, carried)
        course.add(found, whole=traces[0], made_of=traces[-1])
    return course.result(has_origin=tracers.quantized is not None)


def _stretches(
    tracers: list[NetworkTracer], model: StreamingModel, recordings: Iterable[Recording], seed: int
) -> tuple[list[_Stretch], list[_Stretch]]:
    def seen(images: _Images) -> _Stretch:
        return _Stretch(images, tuple(tracer.encode(images) for tracer in tracers))

    found, left = [], _DISTINCT
    for recording in recordings:
        for first in range(0, len(recording.images), _LONGEST):
            if left <= 0:
                break
            found.append(seen(recording.images[first : first + _LONGEST]))
            left -= len(found[-1].images)
        if left <= 0:
            break
    rng = np.random.default_rng(seed)
    count = max(1, round(_NOISE_S * model.spec.rate_hz))
    shape = (count, *model.spec.input.tensor.shape[1:])
    return found, [seen(rng.integers(0, 256, shape, np.uint8))]


def _order(
    stretches: list[_Stretch], noise: list[_Stretch], frames: int, seed: int
) -> Iterator[_Stretch]:
    rng, given, number = np.random.default_rng(seed), 0, 0
    while given < frames:
        for at in rng.permutation(len(stretches)):
            number += 1
            turn = [stretches[at], *(noise if number % _NOISE_EVERY == 0 else [])]
            for stretch in turn:
                yield stretch
                given += len(stretch.images)
            if given >= frames:
                return


@dataclass
class _Units:
    """What the units of one state do.

    Attributes:
      frames: so far. saturated, of_float: frames at an end of the range, file and float network.
      windows: seconds looked at. stalled: those in which a unit stood still and should not have.
    """

    frames: int = 0
    windows: int = 0
    saturated: Any = 0
    of_float: Any = 0
    stalled: Any = 0


@dataclass
class _Course:
    """Gathers what is told of a stream, frame by frame."""

    model: StreamingModel
    errors: dict[str, list[npt.NDArray[np.float64]]] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    bars: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    near: dict[str, int] = field(default_factory=dict)
    off_float: list[npt.NDArray[np.float64]] = field(default_factory=list)
    logits: list[npt.NDArray[np.float32]] = field(default_factory=list)
    same: dict[str, list[npt.NDArray[np.bool_]]] = field(
        default_factory=lambda: {"float": [], "fake_quant": []}
    )
    units: dict[str, _Units] = field(default_factory=dict)

    def add(self, found: Trace, *, whole: Trace, made_of: Trace) -> None:
        """Takes a stretch."""
        spec = self.model.spec
        for tensor in (spec.output.tensor, *spec.states):
            name = tensor.name
            values = found.tensors[name].astype(np.float64)
            error = np.abs(values - made_of.tensors[name]) / step_of(tensor)
            self.errors.setdefault(name, []).append(error.mean(axis=1))
            self.largest[name] = max(self.largest.get(name, 0.0), float(error.max()))
            self.near[name] = self.near.get(name, 0) + int((error <= WITHIN_ONE).sum())
            counts = np.searchsorted(np.array(HISTOGRAM) + 0.5, error.ravel())
            bars = np.bincount(counts, minlength=len(HISTOGRAM) + 1)
            self.bars[name] = self.bars.get(name, np.zeros_like(bars)) + bars
            if name[0] in "hc" and name[1:].isdigit() | (name[1:] == ""):
                self._watch(tensor, found.tensors[name], whole.tensors[name])
        off = (found.logits - whole.logits).astype(np.float64)
        self.off_float.append(np.sqrt((off**2).mean(axis=1)))
        self.logits.append(whole.logits)
        for name, other in (("float", whole), ("fake_quant", made_of)):
            self.same[name].append(same_answers(found.logits, other.logits, spec.task))

    def _watch(
        self,
        tensor: TensorSpec,
        values: npt.NDArray[np.float32],
        whole: npt.NDArray[np.float32],
    ) -> None:
        units = self.units.setdefault(tensor.name, _Units())
        end = CELL_CLIP if tensor.name.startswith("c") else 1.0
        step = tensor.scale if tensor.dtype != "float32" else 1e-3
        at_end = np.abs(values) >= end - 1.5 * step
        units.frames += len(values)
        units.saturated = units.saturated + at_end.sum(axis=0)
        units.of_float = units.of_float + (np.abs(whole) >= end - 1.5 * step).sum(axis=0)
        if tensor.name[0] != "c":
            # A hidden state is made anew at each step: it cannot stall by itself.
            return
        found = stalled(values, whole, step=step, limit=CELL_CLIP, rate_hz=self.model.spec.rate_hz)
        units.windows += len(found)
        units.stalled = units.stalled + found.sum(axis=0)

    def result(self, *, has_origin: bool) -> dict[str, Any]:
        rate = self.model.spec.rate_hz
        off = np.concatenate(self.off_float)
        signal = float(np.concatenate(self.logits).std())
        relative = off / max(signal, 1e-9)
        count = min(_BLOCKS, len(off))
        blocks = np.array_split(np.arange(len(off)), count)
        same = {name: np.concatenate(values) for name, values in self.same.items()}
        if not has_origin:
            del same["fake_quant"]
        if self.model.spec.task == "regression":
            # Values are near or far, never the same.
            same = {}
        errors = {name: np.concatenate(values) for name, values in self.errors.items()}
        trend = error_trend(np.array([relative[block].mean() for block in blocks]))
        reset = reset_every(trend, len(blocks[0]) / rate)
        units = {name: _told(found) for name, found in self.units.items()}
        return {
            "frames": len(off),
            "seconds": round(len(off) / rate, 1),
            "same_answers": {name: round(float(s.mean()), 5) for name, s in same.items()},
            "tensors": {name: self._summary(name, error) for name, error in errors.items()},
            "blocks": {
                "frames_each": len(blocks[0]),
                "off_float": [round(float(relative[b].mean()), 5) for b in blocks],
                "steps": {
                    name: [round(float(error[b].mean()), 4) for b in blocks]
                    for name, error in errors.items()
                },
                "same_as_float": [
                    round(float(same["float"][b].mean()), 4) for b in blocks if "float" in same
                ],
            },
            "units": units,
            "trend": {name: round(trend[name], 4) for name in ("growth", "t")}
            | {"growth_allowed": _GROWTH, "t_needed": _SURE},
            "reset_every_s": reset,
            "verdict": _verdict(reset, trend, units),
        }

    def _summary(self, name: str, error: npt.NDArray[np.float64]) -> dict[str, Any]:
        bars = self.bars[name]
        return {
            "mean": round(float(error.mean()), 5),
            "largest": round(self.largest[name], 3),
            "within_one": round(self.near[name] / int(bars.sum()), 6),
            "histogram": bars.tolist(),
        }


def error_trend(errors: npt.NDArray[np.float64]) -> dict[str, Any]:
    """By how much the error grows from the first third to the last, and how sure that is."""
    kept = errors[math.ceil(_WARM_UP * len(errors)) :]
    if len(kept) < 6 or not kept.any():
        return {"growth": 1.0, "t": 0.0, "errors": kept}
    time = np.linspace(-1.0, 1.0, len(kept))
    slope = float((time * kept).sum() / (time**2).sum())
    left = kept - kept.mean() - slope * time
    deviation = math.sqrt(float((left**2).sum()) / (len(kept) - 2) / float((time**2).sum()))
    third = len(kept) // 3
    growth = float(kept[-third:].mean() / max(kept[:third].mean(), 1e-12))
    return {"growth": growth, "t": slope / max(deviation, 1e-12), "errors": kept}


def reset_every(trend: dict[str, Any], block_s: float) -> float | None:
    """After how many seconds the error has grown too much; ``None`` if it does not grow."""
    if not (trend["growth"] > _GROWTH and trend["t"] > _SURE):
        return None
    errors = trend["errors"]
    smooth = np.convolve(errors, np.ones(5) / 5, "valid")
    early = errors[: max(1, len(errors) // 10)].mean()
    grown = np.flatnonzero(smooth > _GROWTH * early)
    return round(float((grown[0] + 1 if len(grown) else len(errors)) * block_s), 1)


def _told(units: _Units) -> dict[str, Any]:
    saturated = units.saturated / max(units.frames, 1)
    of_float = units.of_float / max(units.frames, 1)
    told: dict[str, Any] = {
        "units": len(saturated),
        "saturated": _shares(saturated),
        "saturated_in_float": _shares(of_float),
    }
    if units.windows:
        told["stalled"] = _shares(units.stalled / units.windows)
    return told


def _shares(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    worst = np.argsort(values)[::-1][:_WORST]
    return {
        "mean": round(float(values.mean()), 5),
        "worst": [[int(unit), round(float(values[unit]), 4)] for unit in worst],
        "each": [round(float(value), 3) for value in values],
    }


def _verdict(reset: float | None, trend: dict[str, Any], units: dict[str, Any]) -> str:
    found = {name: told["stalled"]["mean"] for name, told in units.items() if "stalled" in told}
    stalled = {name: share for name, share in found.items() if share > _STALLING}
    told = "".join(
        f"; {name} stalls: in {share * 100:.0f} % of all seconds a unit stands still that should "
        "move"
        for name, share in stalled.items()
    )
    if reset is None:
        return "may run for ever: the error does not grow" + told
    percent = (trend["growth"] - 1) * 100
    return f"reset every {reset:g} s: the error grows, by {percent:.0f} % in the audit" + told
