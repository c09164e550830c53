"""Where an integer file's error arises, and what would mend it."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.errors import ConfigError
from edgecap.flatbuffer import Graph, read_graph
from edgecap.interpreter import open_interpreter
from edgecap.spec import ModelSpec
from edgecap.streaming import StreamingModel
from edgecap_convert.export.assemble import open_model
from edgecap_convert.export.twin import PARTS, operator_parts, put_back
from edgecap_convert.models.network import Network
from edgecap_convert.models.recurrent import CELL_CLIP, GATES
from edgecap_convert.parity.probe import Probe, decibels, probe
from edgecap_convert.parity.stalls import stalled
from edgecap_convert.parity.steps import same_answers
from edgecap_convert.parity.trace import LOGITS, NetworkTracer, Trace, trace_model

#: Frames that are looked at, unless said otherwise.
EXAMINED_FRAMES = 400

# Findings: at or below these, in dB, what clips, or what a layer adds, is told.
_CLIPS_DB, _NOISY_DB = 26.0, 10.0
_WASTED_BITS = 2.5
_COURSE = 8
_WEIGHT_BITS_WASTED = 4.0
_WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

_Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Finding:
    """Something that costs accuracy.

    Attributes:
      kind: ``clips``, ``noisy``, ``wasted bits``, ``stalls`` or ``weights waste bits``.
      part: of the network. tensor: its name in the file.
      severity_db: the signal-to-noise that this alone would leave; the least is the worst.
      told: what is wrong, and what to do.
    """

    kind: str
    part: str
    tensor: str
    severity_db: float
    told: str


def examine(
    model: StreamingModel, images: _Images, *, network: Network | None = None
) -> dict[str, Any]:
    """Looks for what is wrong with a file.

    Args:
      model: of an integer recipe.
      images: ``(N, H, W, 3)`` uint8 of consecutive frames, as a camera would give them.
      network: the float network that it was made of, if there is one at hand.

    Returns:
      ``findings``, the worst first; ``put_back``, what each part costs, the dearest first;
      ``layers``, the signal-to-noise of every tensor against the float twin; ``gates``, that of the
      LSTM's gates over time; ``frames``.

    Raises:
      ConfigError: the file is not of integers.
    """
    if model.spec.input.tensor.dtype != "int8":
        raise ConfigError(
            f"the doctor examines int8 models; {model.spec.name!r} is of recipe "
            f"{model.spec.recipe!r}, which rounds nothing that is computed"
        )
    probes = probe(model, images)
    findings = [*_clips(probes), *_noisy(probes), *_wasted(probes), *_weights(model)]
    findings += _stalls(model, images)
    findings.sort(key=lambda finding: finding.severity_db)
    return {
        "frames": len(images),
        "findings": [asdict(finding) for finding in findings],
        "put_back": _put_back(model, images, network),
        "layers": [
            {
                "tensor": each.name,
                "part": each.part,
                "operator": each.operator,
                "snr_db": round(each.snr_db, 2),
                "clipped": round(each.clipped, 6),
                "wasted_bits": round(each.wasted_bits, 2),
            }
            for each in probes
        ],
        "gates": {
            name: [round(value, 2) for value in each.course_db(_COURSE)]
            for name, each in _named(probes, model).items()
        },
    }


def _clips(probes: list[Probe]) -> list[Finding]:
    found = []
    for each in _sources(probes):
        if each.clip_snr_db <= _CLIPS_DB and each.clipped > 0:
            found.append(
                Finding(
                    "clips",
                    each.part,
                    each.name,
                    round(each.clip_snr_db, 2),
                    f"{each.clipped * 100:.2g} % of the values lie beyond its range: that alone "
                    f"leaves {each.clip_snr_db:.1f} dB. Calibrate on data like this, along "
                    "sequences, or train on with fake quantisation",
                )
            )
    return found


def _noisy(probes: list[Probe]) -> list[Finding]:
    """Layers that lose much of what comes in."""
    found = []
    by_index = {each.index: each for each in probes}
    for each in _sources(probes):
        given = min((by_index[i].snr_db for i in each.read), default=99.0)
        lost = given - each.snr_db
        if lost >= _NOISY_DB and each.snr_db < 30.0 and each.read:
            found.append(
                Finding(
                    "noisy",
                    each.part,
                    each.name,
                    round(max(each.snr_db, 0.0), 2),
                    f"{given:.1f} dB come in, {each.snr_db:.1f} dB go out: its {each.operator} is "
                    "where the error grows. Train on with fake quantisation, or keep its part in "
                    "float",
                )
            )
    return found


def _wasted(probes: list[Probe]) -> list[Finding]:
    found = []
    for each in _sources(probes):
        if each.wasted_bits < _WASTED_BITS or each.operator in ("LOGISTIC", "TANH", "SOFTMAX"):
            continue
        if not each.signal.any():
            continue
        found.append(
            Finding(
                "wasted bits",
                each.part,
                each.name,
                round(each.snr_db, 2),
                f"only {2.0**-each.wasted_bits * 100:.2g} % of its range are used: its grid could "
                f"be {each.wasted_bits:.1f} bits finer. Its range was learnt from other data",
            )
        )
    return found


def _sources(probes: list[Probe]) -> list[Probe]:
    """Those that compute; the others only hand on what they are given."""
    idle = ("RESHAPE", "SPLIT", "STRIDED_SLICE", "CONCATENATION", "QUANTIZE", "CAST", "PAD")
    return [each for each in probes if each.operator not in idle]


def _weights(model: StreamingModel) -> list[Finding]:
    """Dense layers with one scale, whose channels are of very different size."""
    graph = model.bundle.graph
    interpreter, _ = open_interpreter(model.bundle.model, kernels="builtin")
    found = []
    for operator, part in zip(graph.operators, operator_parts(graph), strict=True):
        if operator.name not in _WITH_WEIGHTS:
            continue
        tensor = graph.tensors[operator.inputs[1]]
        if tensor.dtype != "int8" or len(tensor.scales) != 1:
            continue
        weights = np.abs(interpreter.get_tensor(tensor.index).astype(np.int32))
        limits = weights.reshape(len(weights), -1).max(axis=1)
        # A channel of zeros computes nothing, and loses nothing.
        bits = np.log2(127 / np.maximum(limits[limits > 0], 1))
        share = float((bits >= _WEIGHT_BITS_WASTED).mean()) if len(bits) else 0.0
        if share > 0.25:
            found.append(
                Finding(
                    "weights waste bits",
                    part,
                    tensor.name,
                    round(6.02 * (8 - float(np.quantile(bits, 0.75))), 2),
                    f"{share * 100:.0f} % of its channels use {8 - _WEIGHT_BITS_WASTED:g} bits or "
                    "fewer of the 8 that they share with the largest",
                )
            )
    return found


def _stalls(model: StreamingModel, images: _Images) -> list[Finding]:
    """Integer cell states that stand still while the twin's move."""
    twin = put_back(model.bundle.model, model.bundle.graph)
    real = reopened(model, twin.model)
    found, _ = trace_model(model, images, model.initial_states())
    wanted, _ = trace_model(real, images, real.initial_states())
    findings = []
    for state in model.spec.states:
        if not state.name.startswith("c") or state.dtype == "float32":
            continue
        stored, free = found.tensors[state.name], wanted.tensors[state.name]
        still = stalled(stored, free, step=state.scale, limit=CELL_CLIP, rate_hz=model.spec.rate_hz)
        share = float(still.mean()) if still.size else 0.0
        if share > 0.01:
            snr = decibels(float((free**2).sum()), float(((stored - free) ** 2).sum()))
            findings.append(
                Finding(
                    "stalls",
                    "cell",
                    state.name,
                    round(snr, 2),
                    f"in {share * 100:.0f} % of all seconds a unit of {state.name} stands still "
                    f"that should move: {state.dtype} is too coarse for slow forgetting, and "
                    f"leaves {snr:.1f} dB. Take a recipe with a 16-bit or a float cell",
                )
            )
    return findings


def _named(probes: list[Probe], model: StreamingModel) -> dict[str, Probe]:
    """The gates and what they make, by layer."""
    found: dict[str, Probe] = {}
    for each in probes:
        layer, _, rest = each.name.partition("/")
        for gate in GATES:
            if rest.startswith(f"gates/{gate}/") and each.operator in ("LOGISTIC", "TANH"):
                found.setdefault(f"{layer} {gate} gate", each)
    outputs = model.bundle.graph.signatures[SIGNATURE][1]
    by_index = {each.index: each for each in probes}
    for name, index in outputs.items():
        if index in by_index:
            found[name] = by_index[index]
    return found


def _put_back(
    model: StreamingModel, images: _Images, network: Network | None
) -> list[dict[str, Any]]:
    """What each part in float brings; the first is the file as it is."""
    graph = model.bundle.graph
    twin = _traced(reopened(model, put_back(model.bundle.model, graph).model), images)
    reference = twin
    if network is not None:
        tracer = NetworkTracer(network)
        reference, _ = tracer.run(tracer.encode(images), tracer.reset())
    rows = [_row("as it is", _traced(model, images), reference, model.spec)]
    present = [part for part in PARTS if part in operator_parts(graph)]
    for part in present:
        changed = reopened(model, put_back(model.bundle.model, graph, (part,)).model)
        rows.append(_row(part, _traced(changed, images), reference, model.spec))
    if network is not None:
        rows.append(_row("all but the weights", twin, reference, model.spec))
    as_it_is = rows[0]["snr_db"]
    for row in rows:
        row["gain_db"] = round(row["snr_db"] - as_it_is, 2)
    return [rows[0], *sorted(rows[1:], key=lambda row: -row["gain_db"])]


def _traced(model: StreamingModel, images: _Images) -> Trace:
    return trace_model(model, images, model.initial_states())[0]


def _row(part: str, found: Trace, reference: Trace, spec: ModelSpec) -> dict[str, Any]:
    off = found.tensors[LOGITS] - reference.tensors[LOGITS]
    centred = reference.tensors[LOGITS] - reference.tensors[LOGITS].mean(axis=0)
    snr = decibels(float((centred**2).sum()), float((off**2).sum()))
    row: dict[str, Any] = {"part": part, "snr_db": round(snr, 2)}
    if spec.task != "regression":
        same = same_answers(found.logits, reference.logits, spec.task)
        row["same_answers"] = round(float(same.mean()), 5)
    return row


def reopened(model: StreamingModel, data: bytes) -> StreamingModel:
    """A rewritten file under the spec of the original, as far as it still holds."""
    graph = read_graph(data)
    return open_model(data, _respecified(model.spec, graph), kernels=model.backend.kernels)


def _respecified(spec: ModelSpec, graph: Graph) -> ModelSpec:
    inputs, outputs = graph.signatures[SIGNATURE]
    states = tuple(tensor_spec(s.name, graph.tensors[inputs[s.name]]) for s in spec.states)
    name = spec.output.tensor.name
    output = dataclasses.replace(
        spec.output, tensor=tensor_spec(name, graph.tensors[outputs[name]])
    )
    return dataclasses.replace(spec, states=states, output=output)
