"""The command line: results on stdout, one line on stderr when something is wrong, and its code."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgecap import __version__
from edgecap.bundle import Golden, read_bundle, write_bundle
from edgecap.spec import ACTIVATIONS
from edgecap.synthetic import GESTURES, LABELS
from tests import handmade

COMMAND = [sys.executable, "-m", "edgecap"]
VERBS = ["demo", "run", "info", "verify", "data", "train", "convert", "evaluate", "tune"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def edgecap(*arguments: str | Path) -> Result:
    """Runs the command as a user would, in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        timeout=300,
        check=False,
    )
    # OpenCV may write bytes that are no UTF-8; they fail the assertions, not this line.
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))


def refused(result: Result, *, code: int, says: str) -> None:
    """Nothing on stdout, one line on stderr, no traceback."""
    assert result.out == ""
    assert result.err.count("\n") == 1, result.err[-1000:]
    assert result.err.startswith("edgecap: ")
    assert says in result.err
    assert result.code == code


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory, demo_path: Path) -> Path:
    """A folder with everything that can be wrong."""
    cv2 = pytest.importorskip("cv2")
    root = tmp_path_factory.mktemp("material")
    data = demo_path.read_bytes()
    flipped = bytearray(data)
    flipped[len(read_bundle(demo_path).model) // 2] ^= 1
    (root / "flipped.tflite").write_bytes(flipped)
    (root / "cut.tflite").write_bytes(data[: len(data) * 2 // 3])
    (root / "plain.tflite").write_bytes(read_bundle(demo_path).model)
    (root / "text.tflite").write_text("hello")
    (root / "corrupt.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20)
    (root / "empty").mkdir()
    image = np.zeros((32, 32, 3), np.uint8)
    for data_set, labels in (
        ("one class", ["left"]),
        ("unknown", ["cat", "dog"]),
        ("good", ["left", "right"]),
        ("broken", ["left", "right"]),
    ):
        for label in labels:
            clip = root / data_set / label / "clip"
            clip.mkdir(parents=True)
            for index in range(4):
                cv2.imwrite(str(clip / f"{index}.png"), image)
    (root / "broken" / "left" / "bad.mp4").write_bytes((root / "corrupt.mp4").read_bytes())
    writer = cv2.VideoWriter(
        str(root / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 12.0, (64, 48)
    )
    for _ in range(30):
        writer.write(np.full((48, 64, 3), 99, np.uint8))
    writer.release()
    return root


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dance"], "dance"),
        (["--loud"], "--loud"),
        (["info"], "MODEL"),
        (["info", "demo", "demo"], "unexpected extra argument"),
        (["run", "demo", "--sauce", "0"], "--sauce"),
        (["run", "demo", "--max-frames", "0"], "--max-frames"),
        (["run", "demo", "--max-frames", "many"], "--max-frames"),
        (["run", "demo", "--kernels", "gpu"], "--kernels"),
        (["run", "demo", "--threads", "0"], "--threads"),
        (["verify", "demo", "--backend", "onnx"], "--backend"),
        (["demo", "--seed", "-1"], "--seed"),
        (["evaluate", "demo"], "DATA"),
        (["train", "synthetic:"], "--out"),
        (["convert", "runs/none"], "--out"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line_and_code_2(arguments: list[str], says: str) -> None:
    refused(edgecap(*arguments), code=2, says=says)


@pytest.mark.parametrize("verb", ["info", "verify", "run"])
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("none.tflite", "no such file"),
        ("empty", "expected a file"),
        ("text.tflite", "not a model"),
        ("plain.tflite", "without an edgecap spec"),
        ("cut.tflite", "cut short"),
        ("flipped.tflite", "SHA-256"),
    ],
)
def test_what_is_no_whole_model_is_one_line_and_code_1(
    material: Path, verb: str, model: str, says: str
) -> None:
    refused(edgecap(verb, material / model), code=1, says=says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("none.mp4", "no such file or folder"),
        ("empty", "no images in this folder"),
        ("text.tflite", "text.tflite"),
        ("corrupt.mp4", "corrupt.mp4"),
    ],
)
def test_a_source_that_does_not_open_is_one_line_and_code_1(
    material: Path, source: str, says: str
) -> None:
    refused(edgecap("run", "demo", "--source", material / source), code=1, says=says)


@pytest.mark.skipif(Path("/dev/video0").exists(), reason="there is a camera")
def test_a_camera_that_is_not_there_is_one_line_and_code_1() -> None:
    pytest.importorskip("cv2")
    refused(edgecap("run", "demo", "--source", "0"), code=1, says="camera 0 does not open")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("synthetic:speed=1", "unknown option 'speed'"),
        ("synthetic:seed=x", "seed expects a number"),
        ("synthetic:width=10000000,height=10000000", "synthetic"),
        ("x" * 5000, "xxx"),
    ],
    ids=["unknown", "no number", "too large", "name too long"],
)
def test_a_source_that_makes_no_sense_is_one_line_and_code_1(source: str, says: str) -> None:
    refused(edgecap("run", "demo", "--quiet", "--source", source), code=1, says=says)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("none", "no such folder"),
        ("empty", "no clips found"),
        ("unknown", "does not know cat, dog"),
        ("broken", "unreadable clip"),
    ],
)
def test_data_that_cannot_be_evaluated_is_one_line_and_code_1(
    material: Path, data: str, says: str
) -> None:
    refused(edgecap("evaluate", "demo", material / data), code=1, says=says)


def test_no_gestures_to_evaluate_are_no_result() -> None:
    refused(edgecap("evaluate", "demo", "synthetic:gestures=0"), code=1, says="gestures")


@pytest.mark.parametrize("where", ["missing/out.jsonl", "."])
def test_a_jsonl_file_that_cannot_be_written_is_one_line_and_code_1(
    tmp_path: Path, where: str
) -> None:
    target = tmp_path / where
    result = edgecap("run", "demo", "--source", "synthetic:gestures=1", "--jsonl", target)
    refused(result, code=1, says="cannot write")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_code_1() -> None:
    result = edgecap(
        "run", "demo", "--source", "synthetic:gestures=1", "--quiet", "--jsonl", "/dev/full"
    )
    refused(result, code=1, says="cannot write")


def test_debug_shows_the_traceback(material: Path) -> None:
    result = edgecap("--debug", "info", material / "none.tflite")
    assert result.code == 1
    assert "Traceback" in result.err
    assert "no such file" in result.err


def test_without_a_verb_the_help_is_shown() -> None:
    result = edgecap()
    text = result.out + result.err
    assert "Traceback" not in text
    assert all(any(line.split()[:1] == [verb] for line in text.splitlines()) for verb in VERBS)


def test_help_names_every_verb_and_examples() -> None:
    result = edgecap("--help")
    assert (result.code, result.err) == (0, "")
    listed = result.out.partition("Commands")[2].splitlines()
    assert {line.split()[0] for line in listed if line.startswith("  ")} >= set(VERBS)
    assert "edgecap run" in result.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    for option in ("--help", "-h"):
        result = edgecap(verb, option)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(f"Usage: edgecap {verb}")
        assert f"\n    edgecap {verb} " in result.out


def test_version_is_the_packages() -> None:
    result = edgecap("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.split()[-1] == __version__


KEYS = ["frame", "timestamp_s", "label", "score", "probabilities", "event", "settled"]


def test_run_writes_one_json_object_per_processed_frame() -> None:
    result = edgecap(
        "run", "demo", "--source", "synthetic:seed=3,gestures=4,rate=24", "--jsonl", "-", "--quiet"
    )
    assert (result.code, result.err) == (0, "")
    records = [json.loads(line) for line in result.out.splitlines()]
    assert len(records) > 40
    # Twice the model's rate: every second frame is processed.
    assert [r["frame"] for r in records] == list(range(0, 2 * len(records), 2))
    for record in records:
        assert list(record) == KEYS
        assert list(record["probabilities"]) == list(LABELS)
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert record["score"] == max(record["probabilities"].values())
        assert record["probabilities"][record["label"]] == record["score"]
        if record["event"] is not None:
            assert list(record["event"]) == ["label", "kind", "score"]
            assert record["event"]["label"] in GESTURES


def test_the_live_line_stays_off_standard_output(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    result = edgecap("run", "demo", "--source", "synthetic:gestures=2", "--jsonl", path)
    assert (result.code, result.out) == (0, "")
    lines = path.read_text("utf-8").splitlines()
    assert f"{len(lines)} of {len(lines)} frames processed" in result.err
    assert "\x1b" not in result.err, "stderr is no terminal here"


def test_max_frames_ends_an_endless_source() -> None:
    result = edgecap("run", "demo", "--max-frames", "5", "--jsonl", "-", "--quiet")
    assert result.code == 0
    assert len(result.out.splitlines()) == 5


@pytest.mark.parametrize("source", ["clip.avi", "good/left/clip"])
def test_run_takes_videos_and_folders(material: Path, source: str) -> None:
    result = edgecap("run", "demo", "--source", material / source, "--jsonl", "-", "--quiet")
    assert result.code == 0
    assert result.err == ""
    assert len(result.out.splitlines()) == (30 if source == "clip.avi" else 4)


def test_a_reader_that_leaves_is_no_failure() -> None:
    arguments = ["run", "demo", "--max-frames", "5000", "--jsonl", "-", "--quiet"]
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(timeout=300) == 0
        assert process.stderr.read() == b""


def test_info_is_json(demo_path: Path) -> None:
    result = edgecap("info", "demo", "--json")
    assert (result.code, result.err) == (0, "")
    info = json.loads(result.out)
    bundle = read_bundle(demo_path)
    assert info["spec"] == json.loads(bundle.spec.to_json())
    assert info["graph_bytes"] == len(bundle.model)
    assert sum(row["count"] for row in info["operators"]) == len(bundle.graph.operators)


def test_info_is_text_for_people() -> None:
    result = edgecap("info", "demo")
    assert (result.code, result.err) == (0, "")
    assert ", ".join(LABELS) in result.out
    assert "FULLY_CONNECTED" in result.out


def test_verify_is_json() -> None:
    result = edgecap("verify", "demo", "--json")
    assert (result.code, result.err) == (0, "")
    check = json.loads(result.out)
    assert check["passed"] is True
    assert check["largest"] <= check["tolerance"]
    assert check["backend"]["kernels"] == "xnnpack"


def test_verify_fails_where_the_outputs_differ(tmp_path: Path, demo_path: Path) -> None:
    bundle = read_bundle(demo_path)
    outputs = {
        kernels: np.where(values > 0, values - 100, values + 100).astype(values.dtype)
        for kernels, values in bundle.golden.outputs.items()
    }
    path = tmp_path / "other.tflite"
    write_bundle(
        path,
        model=bundle.model,
        spec=bundle.spec,
        golden=Golden(bundle.golden.frames, outputs),
        card=bundle.card,
    )
    result = edgecap("verify", path)
    assert result.code == 1
    assert "DIFFERENT" in result.out
    as_json = edgecap("verify", path, "--json")
    assert as_json.code == 1
    assert json.loads(as_json.out)["passed"] is False


def test_demo_is_json_and_the_same_seed_is_the_same_scene() -> None:
    def play() -> dict[str, object]:
        result = edgecap("demo", "--json", "--gestures", "4", "--seed", "5")
        assert (result.code, result.err) == (0, "")
        return {
            key: value
            for key, value in json.loads(result.out).items()
            if key not in ("load_ms", "step_ms")
        }

    first = play()
    assert (first["gestures"], first["seed"]) == (4, 5)
    assert play() == first


def test_demo_is_plain_text_where_there_is_no_terminal() -> None:
    result = edgecap("demo", "--gestures", "2")
    assert (result.code, result.err) == (0, "")
    assert "of 2 gestures" in result.out
    assert "\x1b" not in result.out


@pytest.mark.parametrize("data", ["synthetic:gestures=3", "good"])
def test_evaluate_is_json(material: Path, data: str) -> None:
    name: str | Path = data if data.startswith("synthetic:") else material / data
    result = edgecap("evaluate", "demo", name, "--json")
    assert (result.code, result.err) == (0, "")
    figures = json.loads(result.out)
    assert figures["segments"] == (3 if data.startswith("synthetic:") else 2)
    assert np.sum(figures["confusion"]) == figures["segments"]
    assert ("events" in figures) == data.startswith("synthetic:")
    assert figures["labels"] == list(LABELS)


def test_info_verify_and_run_know_every_task(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    keys = {
        "classification": KEYS[2:-1],
        "multilabel": ["label", "score", "probabilities", "active", "events"],
        "regression": ["values"],
    }
    for task in ACTIVATIONS:
        path = tmp_path / f"{task}.tflite"
        handmade.model(path, task)
        info, verify = edgecap("info", path), edgecap("verify", path)
        assert (info.code, info.err, verify.code, verify.err) == (0, "", 0, "")
        assert f"made by hand: {task}" in info.out
        assert "red, green, blue" in info.out
        assert ("decisions" in info.out) == (task != "regression")
        assert f"6 of 6 {'within that' if task == 'regression' else 'answers equal'}" in verify.out
        ran = edgecap(
            *("run", path, "--max-frames", "3", "--jsonl", "-"),
            *("--source", "synthetic:width=32,height=32,gestures=1"),
        )
        assert ran.code == 0
        assert ("event(s)" in ran.err) == (task != "regression")
        records = [json.loads(line) for line in ran.out.splitlines()]
        assert [list(record) for record in records] == [
            ["frame", "timestamp_s", *keys[task], "settled"]
        ] * 3
        named = records[0]["values" if task == "regression" else "probabilities"]
        assert list(named) == ["red", "green", "blue"]


def write_clip(folder: Path, frames: np.ndarray) -> None:
    cv2 = pytest.importorskip("cv2")
    folder.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1])


def test_evaluate_measures_a_regression(tmp_path: Path) -> None:
    handmade.model(tmp_path / "model.tflite", "regression")
    for seed in range(2):
        frames = handmade.images(8, seed)
        write_clip(tmp_path / f"clip{seed}", frames)
        # One of the two clips is off by 0.5 in one value of three.
        truth = handmade.expected(frames) + np.array([0.0, 0.5 * seed, 0.0])
        rows = [f"{n},{','.join(map(str, row))}" for n, row in enumerate(truth.tolist())]
        (tmp_path / f"clip{seed}.csv").write_text("\n".join(["frame,red,green,blue", *rows]))
    manifest = tmp_path / "clips.csv"
    manifest.write_text("path,table\nclip0,clip0.csv\nclip1,clip1.csv\n")
    result = edgecap("evaluate", tmp_path / "model.tflite", manifest, "--json")
    assert (result.code, result.err) == (0, "")
    figures = json.loads(result.out)
    assert (figures["task"], figures["frames"], figures["recordings"]) == ("regression", 16, 2)
    assert figures["per_value"]["green"]["mse"] == pytest.approx(0.125, rel=1e-5)
    assert figures["per_value"]["red"]["mse"] == pytest.approx(0, abs=1e-12)
    assert figures["score"] == -figures["mse"] == pytest.approx(-0.125 / 3, rel=1e-5)
    told = edgecap("evaluate", tmp_path / "model.tflite", manifest)
    assert (told.code, told.err) == (0, "")
    assert "MSE 0.041667" in told.out
    assert [line.split()[0] for line in told.out.splitlines()[-3:]] == ["red", "green", "blue"]


def test_evaluate_measures_several_labels(tmp_path: Path) -> None:
    handmade.model(tmp_path / "model.tflite", "multilabel")
    clips = {"red;blue": [139, 117, 139], "green": [117, 139, 117], "": [117, 117, 117]}
    lines = ["path,label"]
    for number, (labels, colour) in enumerate(clips.items()):
        frames = np.broadcast_to(np.array(colour, np.uint8), (4, 4, 4, 3))
        write_clip(tmp_path / str(number), frames)
        lines.append(f"{number},{labels}")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    result = edgecap("evaluate", tmp_path / "model.tflite", tmp_path / "clips.csv", "--json")
    assert (result.code, result.err) == (0, "")
    figures = json.loads(result.out)
    assert (figures["task"], figures["segments"]) == ("multilabel", 3)
    assert figures["macro_f1"] == figures["exact_match"] == figures["score"] == 1.0
    told = edgecap("evaluate", tmp_path / "model.tflite", tmp_path / "clips.csv")
    assert (told.code, told.err) == (0, "")
    assert "macro F1 1.000, micro F1 1.000, mAP 1.000" in told.out
    assert "average precision" in told.out


def test_evaluate_is_a_table_for_people() -> None:
    result = edgecap("evaluate", "demo", "synthetic:gestures=3")
    assert (result.code, result.err) == (0, "")
    assert "by their last frame" in result.out
    assert "precision" in result.out
    assert "an hour" in result.out
