"""``edgecap data``: what is there, counted right, and what is wrong, by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra 'camera'")
pytest.importorskip("tensorflow", reason="needs the extra 'convert'")

from edgecap_convert.data.sheet import write_sheet
from edgecap_convert.data.survey import choose, survey

from edgecap.dataset import open_dataset
from edgecap.errors import DataError, ModelFileError
from tests.material import write_images, write_table, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of different rates and sizes; one clip is cut, one is empty."""
    root = tmp_path / "data"
    for number in range(3):
        write_video(root / "left" / f"{number}.avi", 24 + 12 * number, rate_hz=12.0)
    write_video(root / "right" / "a.avi", 30, rate_hz=30.0, size=(40, 30))
    cut = write_video(root / "right" / "cut.avi", 60)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    write_images(root / "scan" / "one", 5)
    (root / "scan" / "none").mkdir()
    return root


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgecap", "data", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_the_figures_are_those_of_the_clips(folder: Path) -> None:
    found = survey(open_dataset(folder), workers=2).to_dict()
    assert (found["clips"], found["groups"], found["frames"]) == (5, 5, 24 + 36 + 48 + 30 + 5)
    assert found["classes"]["left"] == {
        "clips": 3,
        "groups": 3,
        "frames": 108,
        "seconds": {"total": 9.0, "shortest": 2.0, "median": 3.0, "longest": 4.0},
    }
    assert found["classes"]["right"]["seconds"]["total"] == 1.0
    # Images without a rate have no length.
    assert "seconds" not in found["classes"]["scan"]
    assert found["rates_hz"] == {"12": 3, "30": 1}
    assert found["sizes"] == {"64x48": 4, "30x40": 1}
    assert [entry["clip"] for entry in found["broken"]] == ["right/cut.avi", "scan/none"]
    assert "cut short" in found["broken"][0]["reason"]
    assert any("right: all clips are of one group" in note for note in found["notes"])


def test_parts_and_values_are_those_of_the_part(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", 24, rate_hz=12.0)
    write_table(tmp_path / "a.csv", 24)
    (tmp_path / "m.csv").write_text(
        "path,start_s,end_s,part\na.avi,0.5,1,train\na.avi,1.5,2,test\n"
    )
    found = survey(open_dataset(tmp_path / "m.csv")).to_dict()
    assert (found["task"], found["clips"], found["groups"], found["frames"]) == (
        "regression",
        2,
        1,
        12,
    )
    assert found["values"]["angle"]["min"] == 6.0
    assert found["values"]["angle"]["max"] == 23.0
    assert found["values"]["speed"]["mean"] == -14.5
    assert found["seconds"]["total"] == 1.0
    assert found["columns"] == ["part"]


def test_strict_refuses_and_nothing_usable_is_refused_anyway(folder: Path) -> None:
    with pytest.raises(DataError, match=r"2 of 7 clips cannot be used.*cut\.avi.*none"):
        survey(open_dataset(folder), strict=True)
    for path in folder.rglob("*.avi"):
        path.write_bytes(b"")
    (folder / "scan" / "one" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="7 of 7 clips cannot be used"):
        survey(open_dataset(folder))


def test_clips_are_chosen_from_different_groups(tmp_path: Path) -> None:
    rows = "".join(f"a.avi,x,{i // 4},{i / 12:.4f},{(i + 1) / 12:.4f}\n" for i in range(12))
    (tmp_path / "m.csv").write_text(f"path,label,group,start_s,end_s\n{rows}")
    write_video(tmp_path / "a.avi", 12)
    clips = survey(open_dataset(tmp_path / "m.csv")).clips
    assert len(clips) == 12
    assert {facts.clip.group for facts in choose(clips, 3)} == {"0", "1", "2"}
    assert len(choose(clips, 5)) == 5
    assert len(choose(clips, 50)) == 12


def picture(path: Path) -> np.ndarray:
    import cv2

    image = cv2.imread(str(path))
    assert image is not None
    return image


def test_the_contact_sheet_shows_every_class(folder: Path, tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.png", survey(open_dataset(folder)))
    image = picture(tmp_path / "sheet.png")
    assert image.shape[0] > 300
    # The frames of one clip grow lighter from left to right, all along its strip.
    row = image[74 + 40, 200:].astype(int).max(axis=1)
    levels = [level for level in dict.fromkeys(row.tolist()) if level not in (236, 255)]
    assert len(levels) >= 5


def test_the_contact_sheet_of_values_has_their_curves(tmp_path: Path) -> None:
    for name in ("run $1_a$", "run2"):
        write_video(tmp_path / f"{name}.avi", 24)
        write_table(tmp_path / f"{name}.csv", 24)
    write_sheet(tmp_path / "sheet.png", survey(open_dataset(tmp_path)))
    image = picture(tmp_path / "sheet.png").astype(int)
    blue = (image[..., 0] - image[..., 2] > 60) & (image[..., 0] > 120)
    assert blue[:, -330:].sum() > 100


def test_a_sheet_that_cannot_be_written_is_told_before_the_work(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot write"):
        write_sheet(folder / "none" / "sheet.png", survey(open_dataset(folder)))
    done = run(folder, "--sheet", folder / "none" / "sheet.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgecap: cannot write")


def test_the_command_is_a_table_for_people(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert "classification, 5 clips, 5 groups" in done.stdout
    assert "\nleft " in done.stdout
    assert "broken: " in done.stdout
    assert (tmp_path / "sheet.png").is_file()


def test_the_command_is_json(folder: Path) -> None:
    done = run(folder, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["classes"]["left"]["clips"] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--strict"], "2 of 7 clips cannot be used"), (["--task", "regression"], "there are none")],
)
def test_what_is_refused_is_one_line(folder: Path, arguments: list[str], says: str) -> None:
    done = run(folder, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    # Below the progress bar's line.
    last = done.stderr.splitlines()[-1]
    assert last.startswith("edgecap: ")
    assert says in last
    assert done.stderr.count("edgecap: ") == 1
