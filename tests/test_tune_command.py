"""``edgecap tune``: from recordings to a file with other thresholds, or to no change at all."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import edgecap
from edgecap.bundle import Bundle, read_bundle, replace_spec
from edgecap.cli import cli
from edgecap.decisions import LabelDecision
from edgecap.errors import ModelFileError
from edgecap.golden import check_golden
from edgecap.synthetic import Scene
from tests import handmade

SCENES = ["--data", "synthetic:gestures=24", "--background", "synthetic:minutes=2"]


def tune(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["tune", *map(str, arguments)])


def refused(result: Result, *, code: int, says: str) -> None:
    assert result.exit_code == code or (code == 1 and result.exception is not None)
    told = result.output + str(result.exception)
    assert says in told, told


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, demo_path: Path) -> Path:
    """A folder with a copy of the packaged model, tuned in place, and what was told of it."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("tuned")
    model = folder / "model.tflite"
    shutil.copy(demo_path, model)
    (folder / "link.tflite").symlink_to(model)
    asked = ["--false-events-per-hour", "40", "--json", folder / "tuning.json"]
    done = tune(folder / "link.tflite", *SCENES, *asked, "--plot", folder / "curve.png")
    assert done.exit_code == 0, (done.output, done.exception)
    (folder / "told.txt").write_text(done.output, "utf-8")
    return folder


def test_the_found_thresholds_stand_in_the_model_file(tuned: Path) -> None:
    found = json.loads((tuned / "tuning.json").read_text("utf-8"))
    spec = edgecap.load(tuned / "model.tflite").spec
    assert spec.decision.to_plain() == found["chosen"]["decision"]
    told = spec.provenance["tuning"]
    assert told["recall"] == found["chosen"]["recall"] >= 0.9
    assert told["false_per_hour"] == found["chosen"]["false_per_hour"] <= 40
    assert told["background_hours"] == pytest.approx(2 / 60, rel=0.02)
    assert told["data"] == "synthetic:gestures=24"
    assert told["command"].startswith("edgecap tune ")
    assert "--false-events-per-hour 40" in told["command"]


def test_the_graph_and_the_golden_frames_stay_to_the_byte(tuned: Path, demo_path: Path) -> None:
    import zipfile

    before, after = read_bundle(demo_path), read_bundle(tuned / "model.tflite")
    assert after.model == before.model
    golden = [
        zipfile.ZipFile(path).read("golden.npz") for path in (demo_path, tuned / "model.tflite")
    ]
    assert golden[0] == golden[1]
    digests = [bundle.spec.digests for bundle in (before, after)]
    changed = {name for name in digests[0] if digests[0][name] != digests[1][name]}
    assert changed == {"MODEL_CARD.md"}
    assert check_golden(edgecap.load(tuned / "model.tflite")).passed
    assert dict(after.spec.provenance).keys() - dict(before.spec.provenance) == {"tuning"}


def test_a_link_to_the_model_stays_a_link(tuned: Path) -> None:
    assert (tuned / "link.tflite").is_symlink()
    assert sorted(path.name for path in tuned.iterdir()) == [
        *("curve.png", "link.tflite", "model.tflite", "told.txt", "tuning.json")
    ], "and nothing is left half-written"


def test_the_curve_is_told_and_drawn(tuned: Path) -> None:
    told = (tuned / "told.txt").read_text("utf-8")
    for said in (
        *("things to recognise", "95 % below", "40 false events an hour allowed", "▶", "before"),
        *("chosen    enter", "held out  chosen on one half", "the background is too short to show"),
    ):
        assert said in told
    assert max(map(len, told.splitlines()[:-3])) <= 100
    image = pytest.importorskip("cv2").imread(str(tuned / "curve.png"))
    assert image.shape[0] > 400
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50


def test_tuned_again_the_card_tells_of_the_last_time_only(tuned: Path, tmp_path: Path) -> None:
    once = read_bundle(tuned / "model.tflite")
    assert once.card.count("\n## Decisions\n") == 1
    assert "Tuned for at most 40 false events an hour" in once.card
    assert "## Where it comes from" in once.card
    out = tmp_path / "again.tflite"
    done = tune(tuned / "model.tflite", *SCENES, "--false-events-per-hour", "90", "--out", out)
    assert done.exit_code == 0, (done.output, done.exception)
    again = read_bundle(out)
    assert again.card.count("## Decisions\n") == 1
    assert "Tuned for at most 90" in again.card
    assert again.card.split("## Decisions")[0] == once.card.split("## Decisions")[0]
    assert read_bundle(tuned / "model.tflite").card == once.card, "--out leaves MODEL as it is"


def test_the_packaged_model_is_not_written_to(demo_path: Path) -> None:
    before = demo_path.read_bytes()
    for arguments in (["demo"], [demo_path], ["demo", "--out", demo_path]):
        done = tune(*arguments, *SCENES, "--false-events-per-hour", "1")
        refused(done, code=2, says="say where to with --out FILE")
        assert done.exit_code == 2
    assert demo_path.read_bytes() == before


def test_where_no_setting_will_do_the_file_is_untouched(tmp_path: Path, demo_path: Path) -> None:
    """The background is what is to be recognised: each event that is right is false as well."""
    cv2 = pytest.importorskip("cv2")
    scene = Scene(seed=1, height=96, width=96, gestures=["left", "right"])
    for frame in scene:
        for gesture, label in enumerate(("left", "right")):
            if abs(frame.gesture - gesture) < 1:
                folder = tmp_path / "clips" / label / "clip"
                folder.mkdir(parents=True, exist_ok=True)
                image = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
                assert cv2.imwrite(str(folder / f"{frame.index}.png"), image)
    model, clips = tmp_path / "model.tflite", tmp_path / "clips"
    shutil.copy(demo_path, model)
    out = tmp_path / "tuning.json"
    asked = ["--false-events-per-hour", "1", "--json", out]
    done = tune(model, "--data", clips, "--background", clips, *asked)
    assert done.exit_code == 1
    said = str(done.exception)
    assert "no setting reaches 1 false events an hour; the nearest has" in said
    assert said.endswith("Nothing was written")
    assert model.read_bytes() == demo_path.read_bytes()
    assert json.loads(out.read_text("utf-8"))["chosen"] is None


def test_a_model_that_measures_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    handmade.model(tmp_path / "made.tflite", "regression")
    done = tune(
        tmp_path / "made.tflite", "--data", "none", "--background", "none",
        "--false-events-per-hour", "1",
    )  # fmt: skip
    assert "regression model: it measures" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--false-events-per-hour", "0"], "--false-events-per-hour"),
        (["--false-events-per-hour", "1", "--aim", "luck"], "--aim"),
        ([], "Missing option '--false-events-per-hour'"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = tune("demo", *SCENES, "--out", tmp_path / "out.tflite", *arguments)
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "none/out.tflite"], "no such folder"),
        (["--out", "out.tflite", "--plot", "curve.txt"], "expected a picture's name"),
        (["--out", "out.tflite", "--json", "none/tuning.json"], "no such folder"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = tune("demo", "--data", "none", "--background", "none", *arguments,
                "--false-events-per-hour", "1")  # fmt: skip
    assert says in str(done.exception)


def test_a_file_that_has_changed_in_the_meantime_is_not_overwritten(
    tmp_path: Path, demo_path: Path
) -> None:
    model = tmp_path / "model.tflite"
    shutil.copy(demo_path, model)
    bundle: Bundle = read_bundle(model)
    other = dataclasses.replace(
        bundle.spec,
        decision=dataclasses.replace(bundle.spec.decision, per_label={"left": LabelDecision(0.9)}),
    )
    replace_spec(model, model, expected=bundle.spec, spec=other, card=bundle.card)
    assert read_bundle(model).spec.decision == other.decision
    changed = model.read_bytes()
    with pytest.raises(ModelFileError, match="has changed in the meantime"):
        replace_spec(model, model, expected=bundle.spec, spec=bundle.spec, card="")
    assert model.read_bytes() == changed
    told = CliRunner().invoke(cli, ["info", str(model)]).output
    assert "left: enter 0.9" in told


@pytest.mark.data
def test_real_clips_and_videos_get_through(data_folder: Path, tmp_path: Path) -> None:
    """The packaged model knows no real gestures: nothing is asked of how many it recognises."""
    rows = (data_folder / "gestures" / "groups.csv").read_text().splitlines()[1:]
    clips = [row.split(",")[:3] for row in rows if row.split(",")[1] in ("left", "up")]
    lines = [f"{data_folder / 'gestures' / path},{label},{group}" for path, label, group in clips]
    (tmp_path / "clips.csv").write_text("\n".join(["path,label,group", *lines]) + "\n")
    done = tune(
        *("demo", "--data", tmp_path / "clips.csv", "--background", data_folder / "videos"),
        *("--false-events-per-hour", "1000", "--out", tmp_path / "out.tflite"),
        *("--json", tmp_path / "tuning.json"),
    )
    assert done.exit_code in (0, 1), done.output
    found = json.loads((tmp_path / "tuning.json").read_text("utf-8"))
    assert found["before"]["gestures"] == len(clips)
    assert found["background_recordings"] == 3
    # 14, 6.7 and 0.7 s, each less the time to settle.
    assert found["before"]["background_hours"] * 3600 == pytest.approx(20.4, abs=0.6)
    assert (tmp_path / "out.tflite").exists() == (found["chosen"] is not None)
