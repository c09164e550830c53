"""Data sets as people have them, and clips by timestamp; what is wrong is said, with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecap.dataset import Clip, open_dataset
from edgecap.errors import DataError
from edgecap.recordings import open_recordings
from tests.material import SPEC, indices, write_images, write_table, write_video


def manifest(folder: Path, text: str, *, name: str = "clips.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two videos of different rate and size, and a folder of images."""
    write_video(tmp_path / "a.avi", 24, rate_hz=24.0)
    write_video(tmp_path / "b.mp4", 12, rate_hz=6.0, size=(40, 30))
    write_images(tmp_path / "scan", 12)
    return tmp_path


# --- forms ---


def test_a_folder_per_class_takes_videos_and_folders_of_images(tmp_path: Path) -> None:
    write_video(tmp_path / "left" / "clip10.avi")
    write_video(tmp_path / "left" / "clip2.avi")
    write_images(tmp_path / "right" / "scan")
    (tmp_path / "left" / "notes.txt").write_text("no clip")
    (tmp_path / ".git" / "x").mkdir(parents=True)
    (tmp_path / "groups.csv").write_text("path,label\n")
    dataset = open_dataset(tmp_path)
    assert (dataset.task, dataset.labels) == ("classification", ("left", "right"))
    assert [c.name for c in dataset.clips] == ["left/clip2.avi", "left/clip10.avi", "right/scan"]
    assert [c.label for c in dataset.clips] == ["left", "left", "right"]
    assert len({c.group for c in dataset.clips}) == 3


def test_labels_are_in_the_same_order_from_a_folder_and_from_a_manifest(tmp_path: Path) -> None:
    for label in ("b10", "b9", "A"):
        write_video(tmp_path / label / "x.avi", 2)
    path = manifest(tmp_path, "path,label\nb10/x.avi,b10\nb9/x.avi,b9\nA/x.avi,A\n")
    assert open_dataset(tmp_path).labels == open_dataset(path).labels == ("A", "b9", "b10")


def test_videos_with_tables_are_regression(tmp_path: Path) -> None:
    for name, rate_hz in (("run0", 12.0), ("run1", 24.0)):
        write_video(tmp_path / f"{name}.avi", 24, rate_hz=rate_hz)
        write_table(tmp_path / f"{name}.csv", 24)
    dataset = open_dataset(tmp_path)
    assert (dataset.task, dataset.labels) == ("regression", ("angle", "speed"))
    same, thinned = (clip.read(SPEC, 12.0) for clip in dataset.clips)
    assert same.values is not None
    assert thinned.values is not None
    assert same.values.dtype == np.float32
    assert same.values[:, 0].tolist() == indices(same.images) == list(range(24))
    # At twice the rate, every other frame and the value of just that frame.
    assert thinned.values[:, 0].tolist() == indices(thinned.images) == list(range(0, 24, 2))
    assert (thinned.values[:, 1] == -thinned.values[:, 0]).all()


def test_a_video_without_its_table_is_named(tmp_path: Path) -> None:
    for name in ("run0", "run1"):
        write_video(tmp_path / f"{name}.avi", 4)
    write_table(tmp_path / "run0.csv", 4)
    with pytest.raises(DataError, match=r"table.*1 have none: run1\.avi"):
        open_dataset(tmp_path)


def test_tables_must_have_the_same_values(tmp_path: Path) -> None:
    for name in ("run0", "run1"):
        write_video(tmp_path / f"{name}.avi", 4)
        write_table(tmp_path / f"{name}.csv", 4)
    (tmp_path / "run1.csv").write_text("frame,angle\n0,1\n")
    with pytest.raises(
        DataError, match=r"run1\.csv: values angle; but .*run0\.csv has angle, speed"
    ):
        open_dataset(tmp_path)


@pytest.mark.parametrize("entry", ["table", ""], ids=["column", "beside"])
def test_a_manifest_may_be_of_tables(recordings: Path, entry: str) -> None:
    write_table(recordings / "a.csv", 24)
    text = "path,table,fold\na.avi,a.csv,3\n" if entry else "path,fold\na.avi,3\n"
    dataset = open_dataset(manifest(recordings, text))
    assert (dataset.task, dataset.labels) == ("regression", ("angle", "speed"))
    assert dataset.clips[0].columns == {"fold": "3"}
    values = dataset.clips[0].read(SPEC, 24.0).values
    assert values is not None
    assert values[:, 0].tolist() == list(range(24))


def test_several_labels_in_a_cell_mean_multilabel(recordings: Path) -> None:
    path = manifest(recordings, "path,label\na.avi,rain; wind\nb.mp4,\nscan,wind;wind\n")
    dataset = open_dataset(path)
    assert (dataset.task, dataset.labels) == ("multilabel", ("rain", "wind"))
    assert [clip.labels for clip in dataset.clips] == [("rain", "wind"), (), ("wind",)]
    found = list(open_recordings(str(path), spec=SPEC, rate_hz=12.0, labels=("wind", "rain")))
    assert [r.targets[0].tolist() for r in found if r.targets is not None] == [
        [1, 1],
        [0, 0],
        [1, 0],
    ]
    assert all(r.truth == () and r.segments == () for r in found)
    assert open_dataset(manifest(recordings, "path,label\na.avi,rain\n"), task="multilabel").labels


def test_slices_of_a_scan_keep_their_natural_order_whatever_the_rate(recordings: Path) -> None:
    path = manifest(recordings, "path,label\nscan,sick\n")
    (clip,) = open_dataset(path).clips
    for rate_hz in (1.0, 12.0, 30.0):
        assert indices(clip.read(SPEC, rate_hz).images) == list(range(12))


def test_images_with_a_rate_are_resampled_like_a_video(recordings: Path) -> None:
    path = manifest(
        recordings, "path,label,fps,start_s,end_s\nscan,x,24,,\nscan,x,24,0.125,0.375\n"
    )
    whole, part = open_dataset(path).clips
    assert indices(whole.read(SPEC, 12.0).images) == [0, 2, 4, 6, 8, 10]
    assert indices(part.read(SPEC, 12.0).images) == [3, 5, 7]


# --- manifests as programs write them ---


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label,group\na.avi,x,1\nb.mp4,y,2\n", "utf-8"),
        ("path,label,group\r\na.avi,x,1\r\nb.mp4,y,2\r\n", "utf-8"),
        ("path,label,group\na.avi,x,1\nb.mp4,y,2", "utf-8-sig"),
        ('"path","label","group"\n"a.avi","x","1"\n"b.mp4","y","2"\n', "utf-8-sig"),
        ("path;label;group\na.avi;x;1\nb.mp4;y;2\n", "utf-8"),
        ("path\tlabel\tgroup\na.avi\tx\t1\n\n\t\t\nb.mp4\ty\t2\n\n", "utf-8"),
        ("Group, Label ,PATH\n1, x , a.avi \n2,y,b.mp4\n", "utf-8"),
    ],
    ids=["plain", "CRLF", "BOM", "quoted", "semicolons", "tabs, empty lines", "order, spaces"],
)
def test_csv_files_of_all_kinds_are_read(recordings: Path, text: str, encoding: str) -> None:
    clips = open_dataset(manifest(recordings, text, encoding=encoding)).clips
    assert [(c.name, c.labels, c.group) for c in clips] == [
        ("a.avi", ("x",), "1"),
        ("b.mp4", ("y",), "2"),
    ]


def test_names_may_hold_commas_quotes_and_line_breaks_and_windows_separators(
    tmp_path: Path,
) -> None:
    write_video(tmp_path / "x, y" / "a.avi", 2)
    text = 'path,label,note\n"x, y\\a.avi","a ""b""","two\nlines"\n'
    (clip,) = open_dataset(manifest(tmp_path, text)).clips
    assert clip.name == "x, y/a.avi"
    assert clip.label == 'a "b"'
    assert clip.columns == {"note": "two\nlines"}
    assert len(clip.read(SPEC, 12.0).images) == 2


def test_paths_may_be_absolute(recordings: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "sub"
    elsewhere.mkdir()
    path = manifest(elsewhere, f"path,label\n{recordings / 'a.avi'},x\n../b.mp4,y\n")
    assert [len(c.read(SPEC, 6.0).images) for c in open_dataset(path).clips] == [6, 12]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("path,label\n", "no rows"),
        ("file,label\na.avi,x\n", "no column 'path'.*found file,label"),
        ("path,group\na.avi,x\n", "no column 'label'.*found path,group"),
        ("path,label,label\na.avi,x,y\n", "'label' is there twice"),
        ("path,label\na.avi,x\n\nb.mp4\n", "line 4: expected 2 cells.*got 1"),
        ("path,label\na.avi,x,y\n", "line 2: expected 2 cells.*got 3"),
        ("path,label\na.avi,\n", "line 2: the label is empty"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ("path,label,start_s\na.avi,x,soon\n", "line 2: start_s: expected a number.*'soon'"),
        ("path,label,start_s\na.avi,x,-1\n", "line 2: start_s"),
        ("path,label,end_s\na.avi,x,nan\n", "line 2: end_s"),
        ("path,label,start_s,end_s\na.avi,x,2,1\n", "line 2: end_s 1 is not after start_s 2"),
        ("path,label,end_s\nscan,x,1\n", "line 2: a part of a folder of images needs"),
        ("path,label\na.avi,x\nb.mp4,y\na.avi,x\n", r"line 4: a\.avi was listed before, on line 2"),
        ("path,label\na.avi,x\na.avi,y\n", "line 3: .*listed before"),
        ("path,label\nscan/1.png,x\n", "line 2: .*single image"),
        ("path,label\nnone/a.avi,x\nnone/b.avi,x\n", r"none of its 2 clips exists.*none/a\.avi"),
        ('path,label\na.avi,"x\n', "not CSV"),
        ("path,label\na.avi,caf\xe9\n", "not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_with_its_line(
    recordings: Path, text: str, says: str
) -> None:
    path = manifest(recordings, text, encoding="latin-1")
    with pytest.raises(DataError, match=says) as error:
        open_dataset(path)
    assert "clips.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_one_missing_file_is_told_when_it_is_read(recordings: Path) -> None:
    clips = open_dataset(manifest(recordings, "path,label\na.avi,x\ngone.avi,x\n")).clips
    with pytest.raises(DataError, match=r"unreadable clip: .*gone\.avi: no such file"):
        clips[1].read(SPEC, 12.0)


@pytest.mark.parametrize("name", ["12", "0"])
def test_a_clip_named_like_a_camera_is_no_camera(
    recordings: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recordings)
    write_images(recordings / name, 3)
    manifest(recordings, f"path,label\n{name},x\n")
    (clip,) = open_dataset("clips.csv").clips
    assert indices(clip.read(SPEC, 12.0).images) == [0, 1, 2]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: None, "no clips found; expected CLASS"),
        (lambda root: write_video(root / "a.avi"), r"a\.avi lies in no folder of a class"),
        (lambda root: write_video(root / "train" / "left" / "a.avi"), "train/left holds a.avi"),
        (lambda root: (root / "left" / "clip").mkdir(parents=True), "no clips found"),
    ],
    ids=["nothing", "no class", "one folder too many", "an empty clip"],
)
def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, make: object, says: str) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(DataError, match=says):
        open_dataset(tmp_path)


def test_what_is_no_folder_and_no_manifest_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", 2)
    for name, says in (("none", "no such folder or manifest"), ("a.avi", "no CSV manifest")):
        with pytest.raises(DataError, match=says):
            open_dataset(tmp_path / name)
    with pytest.raises(DataError, match="task: expected one of"):
        open_dataset(tmp_path, task="guessing")


# --- reading ---


def test_clips_of_all_rates_and_sizes_come_out_alike(recordings: Path) -> None:
    path = manifest(recordings, "path,label\na.avi,x\nb.mp4,x\nscan,x\n")
    found = [clip.read(SPEC, 12.0) for clip in open_dataset(path).clips]
    assert all(frames.images.shape[1:] == (16, 24, 3) for frames in found)
    assert all(frames.images.dtype == np.uint8 for frames in found)
    # 24, 6 and (as no rate is given) 12 frames a second.
    assert [indices(frames.images) for frames in found] == [
        list(range(0, 24, 2)),
        [i // 2 for i in range(23)],
        list(range(12)),
    ]
    for frames in found:
        np.testing.assert_allclose(frames.timestamps_s, np.arange(len(frames.images)) / 12)


def test_parts_of_one_recording_are_of_one_group_and_of_their_seconds(recordings: Path) -> None:
    text = "path,label,start_s,end_s\na.avi,x,,0.5\na.avi,y,0.25,0.5\na.avi,z,0.75,\n"
    clips = open_dataset(manifest(recordings, text)).clips
    assert [c.name for c in clips] == [
        "a.avi [0–0.5 s]",
        "a.avi [0.25–0.5 s]",
        "a.avi [0.75– s]",
    ]
    assert len({c.group for c in clips}) == 1
    assert len(set(clips)) == 3
    assert [indices(c.read(SPEC, 12.0).images) for c in clips] == [
        [0, 2, 4, 6, 8, 10],
        [6, 8, 10],
        [18, 20, 22],
    ]


def test_a_part_has_the_values_of_its_own_frames(recordings: Path) -> None:
    for key, step in (("frame", 1.0), ("time_s", 1 / 24)):
        write_table(recordings / "a.csv", 24, key=key, step=step)
        path = manifest(recordings, "path,table,start_s,end_s\na.avi,a.csv,0.25,0.75\n")
        frames = open_dataset(path).clips[0].read(SPEC, 12.0)
        assert frames.values is not None
        assert frames.values[:, 0].tolist() == indices(frames.images) == [6, 8, 10, 12, 14, 16]


@pytest.mark.parametrize(
    ("part", "says"),
    [("start_s\na.avi,x,5", "ends before 5 s"), ("end_s\na.avi,x,9", "ends at 1.00 s")],
)
def test_a_part_that_is_not_in_the_recording_is_refused(
    recordings: Path, part: str, says: str
) -> None:
    (clip,) = open_dataset(manifest(recordings, f"path,label,{part}\n")).clips
    with pytest.raises(DataError, match=says):
        clip.read(SPEC, 12.0)


@pytest.mark.parametrize(
    ("share", "usable"), [(0.95, True), (0.5, False)], ids=["a little", "half"]
)
def test_a_truncated_video_is_used_only_if_little_is_missing(
    tmp_path: Path, share: float, usable: bool
) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    clip = Clip(path, ("x",), "g")
    if usable:
        assert 54 <= len(clip.read(SPEC, 12.0).images) < 60
    else:
        with pytest.raises(DataError, match=r"of the 60 frames.*cut short or damaged"):
            clip.read(SPEC, 12.0)


def test_a_part_before_the_damage_can_be_used(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    clip = Clip(path, ("x",), "g", start_s=0.5, end_s=1.0)
    assert indices(clip.read(SPEC, 12.0).images) == list(range(6, 12))


@pytest.mark.parametrize("content", [b"", b"no video", bytes(5000)], ids=["empty", "text", "zeros"])
def test_what_is_no_video_is_an_unreadable_clip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"unreadable clip: .*a\.mp4"):
        Clip(path, ("x",), "g").read(SPEC, 12.0)


def test_files_that_are_no_images_are_no_frames_but_a_broken_image_is_told(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", 3)
    (folder / "notes.txt").write_text("no image")
    (folder / "Thumbs.db").write_bytes(b"\0")
    clip = Clip(folder, ("x",), "g")
    assert indices(clip.read(SPEC, 12.0).images) == [0, 1, 2]
    (folder / "2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"unreadable clip: .*2\.png"):
        clip.read(SPEC, 12.0)


def test_an_empty_folder_among_clips_is_a_broken_clip(tmp_path: Path) -> None:
    write_images(tmp_path / "left" / "good")
    (tmp_path / "left" / "empty").mkdir()
    clips = open_dataset(tmp_path).clips
    assert [c.name for c in clips] == ["left/empty", "left/good"]
    with pytest.raises(DataError, match=r"unreadable clip: .*empty: no images"):
        clips[0].read(SPEC, 12.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frame,angle\n0,1\n1,left\n", r"line 3: angle: expected a number; got 'left'"),
        ("frame,angle\n0,1\n1,inf\n", "line 3: angle"),
        ("frame,angle\n0,1\n0,2\n", "line 3: frame 0 does not come after 0"),
        ("frame,angle\n5,1\n4,1\n", "line 3: frame 4 does not come after 5"),
        ("frame,angle\n", "a heading and no rows"),
        ("frame,angle\n0,1\n1,2\n", r"covers frame 0 to 1, but the recording.* 0 to 23"),
        ("frame,angle\n20,1\n21,2\n22,2\n23,2\n", "covers frame 20 to 23"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(recordings: Path, text: str, says: str) -> None:
    (recordings / "a.csv").write_text(text)
    clip = Clip(recordings / "a.avi", (), "g", table=recordings / "a.csv")
    with pytest.raises(DataError, match=says):
        clip.read(SPEC, 24.0)


@pytest.mark.parametrize("heading", ["angle", "frame", "angle,frame", "frame,"])
def test_a_table_with_other_columns_is_refused_when_it_is_found(
    recordings: Path, heading: str
) -> None:
    (recordings / "a.csv").write_text(f"{heading}\n0,1\n")
    path = manifest(recordings, "path,table\na.avi,a.csv\n")
    with pytest.raises(DataError, match=r"a\.csv: expected the columns frame,value"):
        open_dataset(path)


def test_a_table_may_lack_a_frame_or_two(recordings: Path) -> None:
    table = write_table(recordings / "a.csv", 24)
    lines = table.read_text().splitlines(keepends=True)
    table.write_text(
        "".join(line for number, line in enumerate(lines) if number not in (1, 11, 24))
    )
    clip = Clip(recordings / "a.avi", (), "g", table=table)
    values = clip.read(SPEC, 24.0).values
    assert values is not None
    # The newest row stands; before the first, the first.
    assert values[:, 0].tolist() == [1, *range(1, 10), 9, *range(11, 23), 22]


# --- evaluation ---


def test_recordings_of_a_manifest_have_truth_names_and_segments(recordings: Path) -> None:
    path = manifest(recordings, "path,label,start_s\na.avi,x,0.5\nb.mp4,y,\n")
    found = list(open_recordings(str(path), spec=SPEC, rate_hz=12.0, labels=("x", "y")))
    assert [r.name for r in found] == ["a.avi [0.5– s]", "b.mp4"]
    assert [r.truth for r in found] == [("x",) * 6, ("y",) * 23]
    assert all(r.targets is None for r in found)


def test_recordings_with_values_have_targets(recordings: Path) -> None:
    write_table(recordings / "a.csv", 24)
    path = str(manifest(recordings, "path\na.avi\n"))
    labels = ("angle", "speed")
    (found,) = open_recordings(path, spec=SPEC, rate_hz=12.0, labels=labels)
    assert found.targets is not None
    assert found.targets[:, 0].tolist() == list(range(0, 24, 2))
    assert (found.truth, found.segments) == ((), ())
    with pytest.raises(DataError, match="have the values angle, speed; the model gives angle"):
        list(open_recordings(path, spec=SPEC, rate_hz=12.0, labels=("angle",)))


def test_recordings_are_read_one_by_one(recordings: Path) -> None:
    path = manifest(recordings, "path,label\na.avi,x\ngone.avi,x\n")
    found = open_recordings(str(path), spec=SPEC, rate_hz=12.0, labels=("x",))
    assert next(found).name == "a.avi"
    with pytest.raises(DataError, match="gone"):
        next(found)


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_part_far_into_a_recording_is_the_same_without_decoding_all_before(
    tmp_path: Path, suffix: str
) -> None:
    path = write_video(tmp_path / f"long{suffix}", 400, rate_hz=12.0)
    whole = Clip(path, ("x",), "g").read(SPEC, 12.0)
    part = Clip(path, ("x",), "g", start_s=30.0, end_s=31.5)
    found = part.read(SPEC, 12.0)
    np.testing.assert_array_equal(found.images, whole.images[360:378])
    assert next(part.frames(12.0)).index > 200
    # To the end of the recording, too.
    rest = Clip(path, ("x",), "g", start_s=30.0).read(SPEC, 12.0)
    np.testing.assert_array_equal(rest.images, whole.images[360:])
    with pytest.raises(DataError, match="ends before 99 s"):
        Clip(path, ("x",), "g", start_s=99.0).read(SPEC, 12.0)


def test_frame_numbers_of_a_table_are_counted_from_the_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", 400, rate_hz=12.0)
    table = write_table(tmp_path / "long.csv", 400)
    found = Clip(path, (), "g", start_s=30.0, end_s=31.0, table=table).read(SPEC, 12.0)
    assert found.values is not None
    assert found.values[:, 0].tolist() == list(range(360, 372))
