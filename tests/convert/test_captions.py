"""Captions from end to end: trained, converted, told, and everything that may go wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tomllib

pytest.importorskip("tensorflow", reason="needs the extra 'convert'")
pytest.importorskip("pycocoevalcap", reason="needs the extra 'captions'")

from edgecap_convert.captions import convert as conversion
from edgecap_convert.captions import parity
from edgecap_convert.captions.config import CaptionConfig
from edgecap_convert.captions.convert import convert_caption_run
from edgecap_convert.captions.parity import captions_of_model, captions_of_network
from edgecap_convert.captions.runs import CaptionRun, open_caption_run
from edgecap_convert.captions.train import train_captions
from edgecap_convert.captions.updates import SentenceUpdate
from edgecap_convert.parity.gates import Gate

import edgecap
from edgecap.bundle import read_bundle, write_bundle
from edgecap.captioning.golden import check_golden
from edgecap.captioning.live import CaptionStream
from edgecap.captioning.overlay import attention_sheet
from edgecap.dataset.captions import of_part, read_captions
from edgecap.errors import ConfigError, DataError, ParityError, SpecError
from edgecap.flatbuffer import read_graph
from edgecap.images import read_image
from tests.convert.captioned import write_config, write_pictures
from tests.convert.tiny import edgecap as call

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Told:
    """A training and its int8 file."""

    data: Path
    config: Path
    run: CaptionRun
    metrics: dict[str, Any]
    parity: dict[str, Any]
    path: Path

    @property
    def images(self) -> list[Any]:
        return of_part(read_captions(self.data), "validation")


def run_verb(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a verb."""
    capfd.readouterr()
    return (call(*arguments), *capfd.readouterr())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("captions")
    data, config = write_pictures(folder / "data"), write_config(folder)
    with config.open("rb") as file:
        settings = CaptionConfig.from_dict(tomllib.load(file))
    metrics = train_captions(str(data), folder / "run", settings, seed=0, command="as tested")
    found = convert_caption_run(
        folder / "run", folder / "told.tflite", recipe="int8", command="converted"
    )
    run = open_caption_run(folder / "run")
    return Told(data, config, run, metrics, found, folder / "told.tflite")


def test_the_file_tells_what_is_there(told: Told) -> None:
    """The colour, that is: a third of the pictures would be right by chance."""
    model = edgecap.load_captioner(told.path)
    right = 0
    for image in told.images:
        said = model.caption(read_image(image.path)).text.split()
        right += image.captions[0].split()[1] in said
    assert right >= 0.6 * len(told.images)
    assert told.metrics["test"]["bleu_1"] > 0.65


def test_int8_follows_what_it_was_made_of(told: Told) -> None:
    steps = told.parity["steps"]
    assert steps["each_step"]["within_one"] > 0.99
    assert steps["encode"]["within_one"] > 0.99
    assert steps["same_words"] > 0.95
    assert told.parity["same_sentences"] >= 0.8
    assert all(gate["passed"] for gate in told.parity["gates"])
    assert set(told.parity["accuracy"]) == {"float", "fake_quant", "int8"}
    for name in ("parity.json", "parity.html", "captions.html", "metrics.json", "quantized.npz"):
        assert (told.run.path / name).stat().st_size > 0
    page = (told.run.path / "captions.html").read_text()
    assert page.count("data:image/webp") > 50
    for kind in ("Good", "Middling", "Bad"):
        assert f"<h2>{kind}</h2>" in page
    assert "Gates" in (told.run.path / "parity.html").read_text()
    assert not (told.run.path / "grids").exists()


def test_the_file_says_what_it_is(told: Told) -> None:
    bundle = read_bundle(told.path)
    spec, caption = bundle.spec, bundle.spec.caption
    assert caption is not None
    assert spec.labels == told.run.vocabulary.words
    assert spec.output.tensor.shape == (1, len(spec.labels))
    assert [spec.labels[i] for i in (caption.start, caption.end)] == ["<start>", "<end>"]
    assert set(read_graph(bundle.model).signatures) == {"step"}
    assert set(read_graph(bundle.model, 1).signatures) == {"encode"}
    assert spec.provenance["commands"] == ["as tested", "converted"]
    assert "CIDEr-D" in bundle.card
    # Float is what the carried cell state needs, and nothing else.
    floats = {o["name"] for o in bundle.graph.operator_counts() if o["dtype"] == "float32"}
    assert floats == {"DEQUANTIZE", "MUL", "ADD", "MINIMUM", "MAXIMUM", "TANH"}


def test_a_picture_is_encoded_once_whatever_the_beam(told: Told) -> None:
    model = edgecap.load_captioner(told.path)
    image = read_image(told.images[0].path)
    for count, beam in enumerate((1, 3, 8), 1):
        found = model.captions(image, beam=beam)
        assert model.encoded == count
        assert found[0].score == max(each.score for each in found)
        best = found[0]
        assert best.text == " ".join(best.words)
        assert best.attention.shape == (len(best.words), 8, 8)
        np.testing.assert_allclose(best.attention.sum(axis=(1, 2)), 1, atol=1e-3)
    with pytest.raises(ConfigError, match="beam: expected 1 to 64; got 0"):
        model.caption(image, beam=0)
    with pytest.raises(ValueError, match="word: expected 0 to"):
        scene = model.encode(image)
        model.step(len(model.vocabulary), scene, scene.states)


def test_states_of_hypotheses_are_never_mixed(told: Told) -> None:
    """Steps of two sentences in turns give what each gives alone."""
    model = edgecap.load_captioner(told.path)
    scenes = [model.encode(read_image(image.path)) for image in told.images[:2]]

    def alone(number: int) -> list[np.ndarray]:
        states, rows = scenes[number].states, []
        for word in (model.search_settings.start, 2, 3, 4):
            taken = model.step(word, scenes[number], states)
            states = taken.states
            rows.append(taken.logits)
        return rows

    apart = [alone(0), alone(1)]
    states = [scene.states for scene in scenes]
    for at, word in enumerate((model.search_settings.start, 2, 3, 4)):
        for number in (1, 0):
            taken = model.step(word, scenes[number], states[number])
            states[number] = taken.states
            assert np.array_equal(taken.logits, apart[number][at])


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
def test_recorded_outputs_are_repeated(told: Told, kernels: str) -> None:
    check = check_golden(edgecap.load_captioner(told.path, kernels=kernels))
    assert check.passed
    assert check.frames == 2 * told.run.config.longest
    assert check.largest == 0 or kernels != "xnnpack"


RECIPES = [
    "int8-dynamic",
    "int8-int16",
    "int8-full",
    "int8+float-head",
    "dynamic",
    "float16",
    "float32",
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_converts_and_tells(told: Told, tmp_path: Path, recipe: str) -> None:
    out = tmp_path / "m.tflite"
    found = convert_caption_run(told.run.path, out, recipe=recipe, qat=False)
    model = edgecap.load_captioner(out)
    assert model.spec.recipe == recipe
    assert check_golden(model).passed
    graphs = [read_graph(model.bundle.model, number) for number in (0, 1)]
    dtypes = {tensor.dtype for graph in graphs for tensor in graph.tensors}
    if recipe in ("int8-int16", "int8-full"):
        assert not {"float32", "float16"} & dtypes
    if recipe == "int8-dynamic":
        # The picture in integers, up to what goes out; sentences with 8-bit weights.
        step, encode = graphs
        floats = {each["name"] for each in encode.operator_counts() if each["dtype"] == "float32"}
        assert floats == {"DEQUANTIZE"}
        assert {tensor.dtype for tensor in step.tensors} == {"float32", "int8", "int32"}
        assert "logits" not in found["steps"]["each_step"]["tensors"]
        assert found["same_as_float"] > max(0.6, told.parity["same_as_float"])
        assert found["bytes"] < 1.1 * told.parity["bytes"]
        assert len(model.bundle.golden.outputs["xnnpack"]) == 2 * 6
    floor = 0.5 if recipe == "int8-full" else 0.8
    assert found["same_sentences"] >= floor
    if recipe == "float32":
        # The same search on both sides: the file tells what the network tells.
        own, _ = captions_of_model(told.run, model, told.images)
        assert own == captions_of_network(told.run, told.run.network(), told.images)
    # The other tests read the record of the file that they look at.
    (told.run.path / "parity.json").write_text(json.dumps(told.parity))


def test_an_interrupted_training_goes_on_to_the_same_weights(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(
        told.run.config, teach=dataclasses.replace(told.run.config.teach, epochs=3)
    )

    def train(out: Path, *, resume: bool = False) -> dict[str, Any]:
        return train_captions(str(told.data), out, config, seed=2, resume=resume)

    whole = train(tmp_path / "whole")
    call, steps = SentenceUpdate.__call__, []

    def stopping(self: SentenceUpdate, *given: Any, **named: Any) -> float:
        steps.append(1)
        if len(steps) == 40:
            raise KeyboardInterrupt
        return call(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(SentenceUpdate, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken")
    with pytest.raises(DataError, match="was not finished"):
        open_caption_run(tmp_path / "broken")
    broken = train(tmp_path / "broken", resume=True)
    assert broken["test"] == whole["test"]
    one, two = (open_caption_run(tmp_path / name).network() for name in ("whole", "broken"))
    for mine, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # A finished run is left as it is; with other settings it is refused.
    assert train(tmp_path / "whole", resume=True) == whole
    other = dataclasses.replace(config, dropout=0.3)
    with pytest.raises(ConfigError, match=r"begun with other settings \(config\)"):
        train_captions(str(told.data), tmp_path / "whole", other, seed=2, resume=True)


@pytest.mark.parametrize("recipe", ["int8", "int8-dynamic"])
def test_a_file_that_fails_a_gate_is_not_written(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    """The range of the keys is made too narrow after it was learnt: they saturate."""
    out = tmp_path / "m.tflite"
    out.write_bytes(b"what was there before")
    convert = conversion.convert_captions

    def spoiled(network: Any, recipe: Any) -> bytes:
        kept = network.ranges["keys"].maximum.numpy()
        network.ranges["keys"].maximum.assign(kept / 8)
        try:
            return convert(network, recipe)
        finally:
            network.ranges["keys"].maximum.assign(kept)

    monkeypatch.setattr(conversion, "convert_captions", spoiled)
    with pytest.raises(ParityError, match="does not compute what it was made of"):
        convert_caption_run(told.run.path, out, recipe=recipe, qat=False)
    assert out.read_bytes() == b"what was there before"
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]


def test_gates_read_the_record(told: Told) -> None:
    record = json.loads(json.dumps(told.parity["steps"]))
    assert all(gate.passed for gate in parity.judge(record))
    record["each_step"]["tensors"]["logits"]["mean"] = 2.0
    failed: list[Gate] = [gate for gate in parity.judge(record) if not gate.passed]
    assert [gate.name for gate in failed] == ["logits, each word from the same state"]


def test_changed_data_is_not_converted_on(told: Told, tmp_path: Path) -> None:
    text = told.data / "Flickr8k.token.txt"
    kept = text.read_text()
    text.write_text(kept.replace("A red", "A crimson", 1))
    try:
        with pytest.raises(DataError, match="is not what it was"):
            convert_caption_run(told.run.path, tmp_path / "m.tflite")
    finally:
        text.write_text(kept)


Spoil = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda s: dataclasses.replace(s, labels=s.labels[:-1]), "labels: the model gives"),
        (
            lambda s: dataclasses.replace(s, caption=dataclasses.replace(s.caption, start=9999)),
            "caption.start: expected numbers of the vocabulary",
        ),
        (
            lambda s: dataclasses.replace(s, caption=dataclasses.replace(s.caption, rows=3)),
            "caption.attention",
        ),
        (
            lambda s: dataclasses.replace(s, caption=dataclasses.replace(s.caption, first=("z",))),
            "caption.first",
        ),
        (
            lambda s: dataclasses.replace(s, caption=dataclasses.replace(s.caption, token="word")),
            "inputs of 'step'",
        ),
        (
            lambda s: dataclasses.replace(
                s, states=(dataclasses.replace(s.states[0], scale=0.5), *s.states[1:])
            ),
            "state",
        ),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(
    told: Told, tmp_path: Path, spoil: Spoil, named: str
) -> None:
    bundle, path = read_bundle(told.path), tmp_path / "m.tflite"
    with pytest.raises(SpecError, match=named):
        write_bundle(
            path,
            model=bundle.model,
            spec=spoil(bundle.spec),
            golden=bundle.golden,
            card=bundle.card,
        )
        edgecap.load_captioner(path)


def test_each_kind_of_model_says_how_to_ask_it(told: Told, demo_path: Path) -> None:
    with pytest.raises(SpecError, match="ask it with 'edgecap caption'"):
        edgecap.load(told.path)
    with pytest.raises(SpecError, match="expected one for captioning"):
        edgecap.load_captioner(demo_path)


def test_a_live_picture_is_told_every_few_seconds(told: Told) -> None:
    model = edgecap.load_captioner(told.path)
    stream = CaptionStream(model, every_s=2.0)
    images = [read_image(image.path) for image in told.images[:2]]
    found = [stream.step(images[int(t >= 3.9)], t) for t in np.arange(0, 6, 0.5)]
    assert [p.timestamp_s for p in found if p.written] == [0.0, 2.0, 4.0]
    assert model.encoded == 3
    said = [model.caption(image).text for image in images]
    assert {p.text for p in found[:8]} == {said[0]}
    assert {p.text for p in found[8:]} == {said[1]}
    events = [(e.label, e.kind) for p in found for e in p.events]
    assert events[0] == (said[0], "start")
    if said[0] != said[1]:
        assert events[1:] == [(said[0], "end"), (said[1], "start")]
    assert all(0 < p.score <= 1 for p in found)
    # A clock that was set back keeps nobody waiting.
    assert stream.step(images[0], -100.0).written
    stream.reset()
    assert stream.active == ()


def test_the_verbs(told: Told, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = told.images[0]
    code, out, _ = run_verb(capfd, "caption", str(told.path), str(image.path), "--json")
    (record,) = json.loads(out)
    assert code == 0
    assert (
        record["caption"] == edgecap.load_captioner(told.path).caption(read_image(image.path)).text
    )
    looked = tmp_path / "looked"
    bad = tmp_path / "no picture.jpg"
    bad.write_text("nothing")
    code, out, err = run_verb(
        capfd, "caption", str(told.path), str(image.path), str(bad), "--attention", str(looked)
    )
    assert code == 1
    assert f"{image.path}: {record['caption']}" in out
    assert err.splitlines() == [
        f"edgecap: {bad}: not a picture that OpenCV can read (JPEG, PNG, WebP, …), or cut short"
    ]
    (sheet,) = looked.iterdir()
    assert cv2.imread(str(sheet)).shape[1] == 8 + 4 * (224 + 8)
    code, out, _ = run_verb(capfd, "evaluate", str(told.path), str(told.data), "--json")
    scores = json.loads(out)
    assert code == 0
    assert scores["cider_d"] == told.parity["accuracy"]["int8"]["cider_d"]
    code, out, _ = run_verb(capfd, "verify", str(told.path))
    assert code == 0
    code, out, _ = run_verb(capfd, "info", str(told.path))
    assert code == 0
    assert "attention" in out
    lines = tmp_path / "out.jsonl"
    code, _, err = run_verb(
        *(capfd, "run", str(told.path), "--source", str(told.data / "images")),
        *("--every", "0.5", "--max-frames", "12", "--jsonl", str(lines), "--quiet"),
    )
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(rows) == 12
    assert sum(row["written"] for row in rows) == 3
    assert all(row["caption"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "{model}", "--record", "x"], "not for captioning models"),
        (["run", "{model}", "--enter", "0.7"], "not for captioning models"),
        (["run", "demo", "--every", "3"], "--every is for captioning models"),
        (["evaluate", "{model}", "{data}", "--part", "test"], "expected pictures of the part"),
        (["bench", "{model}"], "is a captioning model"),
        (["caption", "demo", "x.jpg"], "expected one for captioning"),
        (["caption", "{model}", "x.jpg", "--beam", "0"], "0 is not in the range"),
        (["doctor", "{run}"], "captioning"),
        (["convert", "{run}", "--out", "{out}", "--max-loss", "1"], "not for captions"),
        (["convert", "{run}", "--out", "{out}", "--recipe", "int7"], "recipe: expected one of"),
    ],
)
def test_wrong_use_is_one_clear_line(
    told: Told,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    places = {"model": told.path, "data": told.data, "run": told.run.path, "out": tmp_path / "o"}
    code, _, err = run_verb(capfd, *(each.format(**places) for each in arguments))
    assert code in (1, 2)
    assert len(err.splitlines()) == 1
    assert named in err
    assert not (tmp_path / "o").exists()


def test_pictures_of_any_size_are_told(told: Told) -> None:
    model = edgecap.load_captioner(told.path)
    for shape in ((1, 1, 3), (3, 500, 3), (900, 20, 3)):
        caption = model.caption(np.full(shape, 120, np.uint8))
        assert attention_sheet(np.full(shape, 120, np.uint8), caption).ndim == 3
