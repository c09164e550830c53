"""The page's own JavaScript against what Python computes, in node: no browser is needed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.activation import activation
from edgecap.bundle import parse_bundle, read_bundle
from edgecap.decisions import DecisionSpec, LabelDecision
from edgecap.errors import EdgecapError
from edgecap.predictions import decider
from edgecap.preprocess import Preprocessor
from edgecap.quantization import image_tensor, reset_value
from edgecap.rate import RateGate
from edgecap.spec import InputSpec, ModelSpec, OutputSpec, TensorSpec
from tests.viewers import spec
from tests.web_pages import NODE, run_node, with_spec

pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")

# (height, width) of the frame and of the model's image: down, up, odd, equal, a single pixel.
SIZES = [
    *((480, 640, 96, 96), (480, 640, 160, 160), (1080, 1920, 120, 72), (721, 1281, 33, 57)),
    *((97, 131, 96, 96), (96, 96, 96, 96), (192, 192, 96, 96), (288, 288, 96, 96)),
    *((3, 5, 96, 96), (1, 1, 7, 9), (2, 3, 1, 1), (64, 64, 128, 128), (500, 7, 64, 64)),
    *(
        (7, 500, 64, 64),
        (480, 640, 1, 1),
        (1, 500, 96, 96),
        (95, 97, 96, 96),
        (5, 100, 64, 32),
        (100, 7, 64, 128),
    ),
]


def random_sizes(count: int) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(7)
    return [
        (*map(int, rng.integers(1, 300, 2)), *map(int, rng.integers(1, 200, 2)))
        for _ in range(count)
    ]


@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_preprocessing_gives_opencvs_bytes(tmp_path: Path, fit: str, dtype: str) -> None:
    pytest.importorskip("cv2", reason="needs the extra 'camera'")
    rng = np.random.default_rng(3)
    frames, expected, cases = b"", [], SIZES + random_sizes(25)
    for height, width, to_height, to_width in cases:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        # What a camera gives is no noise alone: flat parts and hard edges round otherwise.
        image[: height // 2] //= 128
        image[: height // 2] *= 255
        tensor = image_tensor(to_height, to_width)
        if dtype == "float32":
            tensor = TensorSpec("image", tensor.shape, "float32")
        made = Preprocessor(InputSpec(tensor, fit=fit))(image)
        expected.append(hashlib.sha256(made.tobytes()).hexdigest())
        frames += np.dstack([image, np.full((height, width, 1), 255, np.uint8)]).tobytes()
    (tmp_path / "frames").write_bytes(frames)
    found = run_node(
        tmp_path,
        """
        import { Preprocessor } from "./preprocess.js";
        import { sha256 } from "./sha256.js";
        const frames = bytes("frames"), found = [];
        let at = 0;
        for (const [height, width, toHeight, toWidth] of given.cases) {
          const tensor = { shape: [1, toHeight, toWidth, 3], dtype: given.dtype };
          const made = new Preprocessor({ tensor, fit: given.fit });
          const frame = frames.subarray(at, at += height * width * 4);
          made.run(frame, width, height);
          found.push(await sha256(made.run(frame, width, height)));
        }
        answer(found);
        """,
        cases=cases,
        fit=fit,
        dtype=dtype,
    )
    different = [case for case, a, b in zip(cases, found, expected, strict=True) if a != b]
    assert different == []


def test_sha256_without_crypto_is_sha256(tmp_path: Path) -> None:
    data = [
        bytes(range(256)) * 9,
        b"",
        b"abc",
        *(b"\xfe" * n for n in (55, 56, 57, 63, 64, 65, 119, 120)),
    ]
    expected = [hashlib.sha256(one).hexdigest() for one in data]
    found = run_node(
        tmp_path,
        """
        import { sha256Js } from "./sha256.js";
        answer(given.data.map((one) => sha256Js(Uint8Array.from(one))));
        """,
        data=[list(one) for one in data],
    )
    assert found == expected


OUTPUTS = [
    *(TensorSpec("logits", (1, n), "int8", 0.12780044972896576, -22) for n in (1, 2, 7, 8, 9, 100)),
    *(TensorSpec("logits", (1, n), "int8", 0.0731, 5) for n in (128, 129, 300)),
    TensorSpec("logits", (1, 5), "uint8", 0.11, 128),
    TensorSpec("logits", (1, 17), "int16", 1 / 2048, 0),
    TensorSpec("logits", (1, 17), "float32"),
]


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "linear"])
@pytest.mark.parametrize("tensor", OUTPUTS, ids=lambda t: f"{t.dtype}-{t.shape[1]}")
def test_what_outputs_mean_is_equal(tmp_path: Path, kind: str, tensor: TensorSpec) -> None:
    rng = np.random.default_rng(tensor.shape[1])
    if tensor.dtype == "float32":
        rows = rng.normal(0, 4, (40, *tensor.shape[1:])).astype(np.float32)
    else:
        limits = np.iinfo(tensor.dtype)
        rows = rng.integers(limits.min, limits.max, (40, tensor.shape[1]), tensor.dtype, True)
    mean = activation(OutputSpec(tensor, kind))
    expected = np.stack([mean(row) for row in rows])
    (tmp_path / "rows").write_bytes(rows.tobytes())
    found = run_node(
        tmp_path,
        """
        import { activation } from "./activation.js";
        const rows = bytes("rows"), mean = activation(given.output), size = rows.length / 40;
        const row = (n) => rows.subarray(n * size, (n + 1) * size);
        answer(Array.from({ length: 40 }, (_, n) => [...mean(row(n))]));
        """,
        output=dataclasses.asdict(OutputSpec(tensor, kind)),
    )
    found = np.array(found, np.float32)
    if kind == "linear" or (kind == "softmax" and tensor.dtype in ("int8", "uint8")):
        assert found.tobytes() == expected.tobytes()
    else:
        # NumPy's exp of float32 is up to 3 units of the last place off, and not the same on every
        # processor; JavaScript's is of double precision.
        np.testing.assert_allclose(found, expected, rtol=16 * 2**-24, atol=1e-30)


def walk(labels: int, frames: int, seed: int, *, multilabel: bool) -> np.ndarray[Any, Any]:
    """Probabilities that wander, so that thresholds are crossed often, from both sides."""
    rng = np.random.default_rng(seed)
    logits = np.zeros((frames, labels))
    for n in range(1, frames):
        logits[n] = 0.96 * logits[n - 1] + rng.normal(0, 0.5, labels)
    if multilabel:
        return (1 / (1 + np.exp(-logits))).astype(np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def times(frames: int, seed: int) -> list[float]:
    """A camera's: uneven, with pauses, and a clock that is set back now and then."""
    rng = np.random.default_rng(seed)
    steps = rng.uniform(0.02, 0.12, frames)
    steps[rng.random(frames) < 0.02] = 1.7
    steps[rng.random(frames) < 0.01] = -5.0
    return (100.0 + np.cumsum(steps)).tolist()


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_events_are_equal_frame_by_frame(tmp_path: Path, task: str) -> None:
    labels = ("a", "b", "c", "d")
    own = {
        "c": LabelDecision(enter=0.5, leave=0.02, refractory_s=0.0),
        "d": LabelDecision(min_duration_s=0.5),
    }
    decisions = [
        DecisionSpec(),
        DecisionSpec(smoothing_s=0.0, min_duration_s=0.0, refractory_s=0.0, settle_s=0.0),
        DecisionSpec(smoothing_s=1.0, settle_s=2.0),
    ]
    if task != "regression":
        decisions += [
            DecisionSpec(background="a", per_label=own),
            DecisionSpec(
                enter=0.4, leave=0.4, min_duration_s=0.3, refractory_s=1.0, background="b"
            ),
        ]
    cases, expected, events = [], [], 0
    for seed, decision in enumerate(decisions):
        values, at_s = walk(4, 1500, seed, multilabel=task == "multilabel"), times(1500, seed)
        model = dataclasses.replace(spec(labels, task), decision=decision)
        ours = decider(task, labels, decision)
        rows = []
        for n, (row, second) in enumerate(zip(values, at_s, strict=True)):
            if n == 400:
                ours.reset()
            answer = ours.predict(row, second)
            told = [[e.label, e.kind, e.timestamp_s, e.score] for e in answer.events]
            events += len(told)
            rows.append([told, answer.settled, list(ours.active)])
        cases.append({"spec": json.loads(model.to_json()), "values": values.tolist(), "at_s": at_s})
        expected.append(rows)
    found = run_node(
        tmp_path,
        """
        import { Decider } from "./predictions.js";
        import { parseSpec } from "./spec.js";
        answer(given.cases.map(({ spec, values, at_s }) => {
          const decider = new Decider(parseSpec(JSON.stringify(spec)));
          return values.map((row, n) => {
            if (n === 400) decider.reset();
            const { events, settled, active } = decider.predict(Float32Array.from(row), at_s[n]);
            return [events.map((e) => [e.label, e.kind, e.timestamp_s, e.score]), settled, active];
          });
        }));
        """,
        cases=cases,
    )
    assert events > (60 if task != "regression" else -1)
    assert found == expected


def test_the_rate_is_kept_as_before_a_camera(tmp_path: Path) -> None:
    at_s = [
        *times(2000, 3),
        *(200 + n / 30 for n in range(300)),
        *(300 + n / 12 for n in range(100)),
    ]
    gate = RateGate(12.0)
    expected = [gate.accepts(second) for second in at_s]
    found = run_node(
        tmp_path,
        'import { RateGate } from "./rate.js";\n'
        "const gate = new RateGate(12);\n"
        "const same = (s) => [gate.isDue(s), gate.accepts(s)].every(Boolean);\n"
        "answer(given.at_s.map(same));",
        at_s=at_s,
    )
    assert found == expected
    assert 0.2 < sum(found) / len(found) < 0.8


def test_the_reset_state_is_the_zero_point_of_each_state(tmp_path: Path) -> None:
    states = (
        TensorSpec("a", (1, 3), "int8", 0.1, -22),
        TensorSpec("b", (1, 2, 2), "int16", 0.1, -300),
        TensorSpec("c", (1, 5), "uint8", 0.1, 131),
        TensorSpec("d", (1, 2), "float32"),
    )
    expected = [np.full(s.shape, reset_value(s), s.dtype).tobytes() for s in states]
    found = run_node(
        tmp_path,
        """
        import { StreamingModel } from "./streaming.js";
        const { initialStates } = StreamingModel.prototype;
        answer(initialStates.call({ spec: given }).map((state) => [...state]));
        """,
        states=[dataclasses.asdict(state) for state in states],
    )
    assert [bytes(state) for state in found] == expected


READ = """
import { parseBundle } from "./bundle.js";
import { EdgecapError } from "./errors.js";
const found = [];
for (const name of given.names) {
  try {
    const { spec, model } = await parseBundle(bytes(name));
    found.push(["read", spec.name, model.length]);
  } catch (error) {
    const known = error instanceof EdgecapError;
    found.push([known ? error.name : `UNKNOWN ${error.stack}`, error.message]);
  }
}
answer(found);
"""


def test_a_model_file_is_read_as_python_reads_it(tmp_path: Path, demo_path: Path) -> None:
    bundle = read_bundle(demo_path)
    found = run_node(tmp_path, READ, names=[str(demo_path)])
    assert found == [["read", bundle.spec.name, len(bundle.model)]]


def test_no_damaged_file_is_taken_for_a_model(tmp_path: Path, demo_path: Path) -> None:
    """Whatever Python refuses, the page refuses too, with a text, before it is run."""
    data, rng = demo_path.read_bytes(), random.Random(5)
    (tmp_path / "files").mkdir()
    names = []
    for number in range(120):
        broken = bytearray(data)
        if number % 3 == 0:
            del broken[rng.randrange(len(broken)) :]
        elif number % 3 == 1:
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        else:
            # In the zip tail, where the structure is.
            broken[-rng.randrange(1, 3000)] = rng.randrange(256)
        if bytes(broken) == data:
            continue
        names.append(f"files/{number}")
        (tmp_path / names[-1]).write_bytes(broken)
    found = run_node(tmp_path, READ, names=names)
    refused = 0
    for name, (kind, *told) in zip(names, found, strict=True):
        try:
            parse_bundle((tmp_path / name).read_bytes())
        except EdgecapError:
            refused += 1
            assert kind in ("ModelFileError", "SpecError"), (name, kind, told)
            assert len(told[0]) > 20
        else:
            # Bytes that say nothing, such as a date: both read the same model.
            assert kind == "read", (name, kind, told)
    assert refused > 90


def specs() -> dict[str, Any]:
    """What is changed in the packaged model's spec, and a part of what the page says then."""
    tensor: Any = lambda document: document["input"]["tensor"]  # noqa: E731
    return {
        "captioning": (
            lambda d: d.update(task="captioning", words=["a"]),
            "'captioning'|\"captioning\"",
        ),
        "version": (lambda d: d.update(edgecap=2), "version 2"),
        "unknown": (lambda d: d.update(colour="red"), 'unknown "colour"'),
        "missing": (lambda d: d.pop("rate_hz"), "rate_hz is missing"),
        "kind": (lambda d: d.update(labels="left"), "expected texts"),
        "area": (lambda d: d["input"].update(resize="area"), "'area'"),
        "shape": (
            lambda d: tensor(d).update(shape=[1, 64, 64, 3]),
            "the graph has int8 \\(1, 96, 96, 3\\)",
        ),
        "grid": (lambda d: tensor(d).update(scale=0.1), "camera's grid"),
        "state": (lambda d: d["states"][0].update(scale=0.5), "state in 'h'"),
        "states": (lambda d: d["states"].pop(), "the spec names h, image"),
        "labels": (lambda d: d["labels"].pop(), "9 numbers, but 8 labels"),
        "threshold": (lambda d: d["decision"].update(leave=0.9), "leave ≤ enter"),
        "background": (lambda d: d["decision"].update(background="nobody"), "not among the labels"),
        "renamed": (
            lambda d: d["labels"].__setitem__(0, "nobody"),
            "not among the labels|other labels",
        ),
        "rate": (lambda d: d.update(rate_hz=0), "rate_hz: expected above 0"),
        "activation": (lambda d: d["output"].update(activation="linear"), "expected softmax"),
    }


def test_a_spec_that_does_not_fit_is_refused_with_its_reason(
    tmp_path: Path, demo_path: Path
) -> None:
    names = []
    for name, (change, _) in specs().items():
        with_spec(demo_path, tmp_path / name, change)
        names.append(name)
    found = run_node(tmp_path, READ, names=names)
    for (name, (_, told)), (kind, text, *_rest) in zip(specs().items(), found, strict=True):
        assert kind == "SpecError" or name == "renamed", (name, kind, text)
        assert re.search(told, str(text)), (name, text)


def test_a_spec_whose_checksum_is_wrong_is_refused(tmp_path: Path, demo_path: Path) -> None:
    """No digest covers the spec itself; the zip's own checksum does."""
    data = with_spec(demo_path, tmp_path / "stored", lambda document: None).read_bytes()
    other = data.replace(b'"enter": 0.6', b'"enter": 0.7')
    assert other != data
    (tmp_path / "changed").write_bytes(other)
    found = run_node(tmp_path, READ, names=["stored", "changed"])
    assert found[0][0] == "read"
    assert found[1] == [
        "ModelFileError",
        "the zip tail is damaged: 'edgecap.json' is not what the directory says: "
        "size or CRC-32 differ",
    ]


def test_a_graph_that_is_no_step_with_equal_states_is_refused(
    tmp_path: Path, demo_path: Path
) -> None:
    found = run_node(
        tmp_path,
        """
        import { parseBundle } from "./bundle.js";
        import { checkContract } from "./contract.js";
        import { readGraph } from "./flatbuffer.js";
        const { model, spec } = await parseBundle(bytes(given.path));
        const step = (graph) => graph.signatures.get("step");
        const after = (graph, name) => graph.tensors[step(graph).outputs.get(name)];
        const changes = {
          nothing: () => {},
          scale: (graph) => { after(graph, "h").scales = [0.5]; },
          zero: (graph) => { after(graph, "h").zeroPoints = [1]; },
          dtype: (graph) => { after(graph, "c").dtype = "float16"; },
          shape: (graph) => { after(graph, "c").shape = [1, 65]; },
          channels: (graph) => { after(graph, "h").scales = [0.5, 0.25]; },
          output: (graph) => { after(graph, "logits").shape = [1, 8]; },
          name: (graph) => { step(graph).outputs.delete("h"); },
          signature: (graph) => { graph.signatures.clear(); },
          variable: (graph) => { graph.tensors[7].isVariable = true; },
          loop: (graph) => { graph.hiding = ["WHILE"]; },
          subgraphs: (graph) => { graph.subgraphs = 2; },
        };
        answer(Object.entries(changes).map(([name, change]) => {
          const graph = readGraph(model);
          change(graph);
          try { checkContract(graph, spec); } catch (error) { return [name, error.message]; }
          return [name, null];
        }));
        """,
        path=str(demo_path),
    )
    said = dict(found)
    assert said.pop("nothing") is None
    parts = {
        "scale": "state out 'h': the spec says int8 (1, 64)",
        "zero": "zero-point 1",
        "dtype": "state out 'c'",
        "shape": "(1, 65)",
        "channels": "expected one scale; found 2",
        "output": "output 'logits'",
        "name": "outputs of 'step': the spec names c, h, logits; the graph has c, logits",
        "signature": "expected a signature 'step'; found none",
        "variable": "variable",
        "loop": "found WHILE",
        "subgraphs": "found 2 subgraphs",
    }
    assert said.keys() == parts.keys()
    for name, part in parts.items():
        assert part in said[name], (name, said[name])


def test_every_spec_that_python_writes_is_read_equal(tmp_path: Path) -> None:
    documents = [
        json.loads(spec(task=task).to_json())
        for task in ("classification", "multilabel", "regression")
    ]
    found = run_node(
        tmp_path,
        """
        import { parseSpec } from "./spec.js";
        answer(given.documents.map((one) => parseSpec(JSON.stringify(one))));
        """,
        documents=documents,
    )
    for document, read in zip(documents, found, strict=True):
        wanted = ModelSpec.from_json(json.dumps(document))
        assert ModelSpec.from_json(json.dumps({"edgecap": 1} | read)) == wanted


def test_percentiles_are_of_the_nearest_rank(tmp_path: Path) -> None:
    found = run_node(
        tmp_path,
        """
        import { percentiles } from "./speed.js";
        answer([percentiles([5], [0.5, 0.99]), percentiles(given.values, [0.5, 0.95, 0.99])]);
        """,
        values=[float(n) for n in range(100, 0, -1)],
    )
    assert found == [[5, 5], [50, 95, 99]]


def test_what_a_browser_lacks_is_said(tmp_path: Path) -> None:
    found = run_node(
        tmp_path,
        """
        import { cameraError, checkBrowser, whyNoCamera, whyNotOffline } from "./browser.js";
        const said = (scope) => {
          try { checkBrowser(scope); } catch (error) { return [error.name, error.message]; }
          return null;
        };
        const navigator = { mediaDevices: { getUserMedia() {} } };
        answer({
          here: said(globalThis),
          none: said({}),
          simd: said({ WebAssembly: { validate: () => false } }),
          insecure: whyNoCamera({ isSecureContext: false, navigator: {} }),
          without: whyNoCamera({ isSecureContext: true, navigator: {} }),
          with: whyNoCamera({ isSecureContext: true, navigator }),
          plain: whyNotOffline({ isSecureContext: false, navigator: {} }),
          denied: cameraError({ name: "NotAllowedError" }),
          busy: cameraError({ name: "NotReadableError" }),
          strange: cameraError({ name: "AbortError", message: "the cable" }),
        });
        """,
    )
    assert found["here"] is None
    assert found["none"][0] == found["simd"][0] == "BrowserError"
    assert "no WebAssembly" in found["none"][1] and "no SIMD" in found["simd"][1]
    assert "https" in found["insecure"] and "no camera" in found["without"]
    assert found["with"] is None
    assert "plain http" in found["plain"]
    assert "not allowed" in found["denied"] and "another program" in found["busy"]
    assert "the cable" in found["strange"]
