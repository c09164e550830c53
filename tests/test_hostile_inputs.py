"""What is no spec, no settings, no table, no picture and no film: one clear line, and no harm."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.bundle import read_bundle
from edgecap.cli.bench import _read as read_bench
from edgecap.dataset import open_dataset
from edgecap.dataset.captions import is_captions, read_captions
from edgecap.dataset.csvfile import read_rows
from edgecap.documents import parse_json, read_json, read_small
from edgecap.errors import (
    ConfigError,
    DataError,
    EdgecapError,
    FrameError,
    ModelFileError,
    SignatureError,
    SourceError,
    SpecError,
)
from edgecap.gate import SceneGate
from edgecap.images import read_image
from edgecap.predictions import RegressionPrediction
from edgecap.sinks.base import Result
from edgecap.sinks.records import result_record
from edgecap.sources import open_source
from edgecap.sources.base import Frame
from edgecap.sources.folder import ImageFolder
from edgecap.sources.video import VideoFile
from edgecap.spec import ModelSpec
from tests import handmade
from tests.material import SPEC, write_images, write_video
from tests.test_cli import edgecap, refused

DOCUMENT = json.loads((Path(__file__).parent / "corpus/spec/demo.json").read_text("utf-8"))
DEEP = "[" * 500 + "]" * 500
DIGITS = "9" * 5000
# Longer than any name of a file may be.
LONG = "a" * 300


def said(kind: type[EdgecapError], job: Callable[[], object]) -> str:
    """The message of a refusal: short."""
    with pytest.raises(kind) as caught:
        job()
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Whoever opens it waits for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


# --- specs and settings ---


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (DEEP, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        (DIGITS, "not JSON"),
        ("1" + "0" * 400, "sensible size"),
        ("1e400", "at most 1000; got inf"),
        ("-Infinity", "got -inf"),
        ("NaN", "got nan"),
        (json.dumps("x" * 1_000_000), "expected float; got 'xxx"),
        (json.dumps([[1]] * 100_000), "expected float"),
    ],
    ids=lambda value: value[:12],
)
def test_a_spec_of_absurd_values_is_refused_shortly(value: str, says: str) -> None:
    text = json.dumps(DOCUMENT | {"rate_hz": 12345}).replace("12345", value)
    assert says in said(SpecError, lambda: ModelSpec.from_json(text))


def test_deep_provenance_is_refused_when_it_is_read_and_not_when_it_is_written() -> None:
    text = json.dumps(DOCUMENT | {"provenance": {"notes": 12345}})
    assert "nested too deeply" in said(
        SpecError, lambda: ModelSpec.from_json(text.replace("12345", DEEP))
    )
    spec = ModelSpec.from_json(text.replace("12345", "[" * 40 + "]" * 40))
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_whole_numbers_of_a_spec_are_of_sensible_size() -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["golden"]["tolerance"] = 10**400
    assert "golden.tolerance: expected a number of sensible size" in said(
        SpecError, lambda: ModelSpec.from_json(json.dumps(document))
    )


def settings(path: Path) -> object:
    config = pytest.importorskip("edgecap_convert.training.config")
    return config.load_config(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 2000 + "]" * 2000, "nested too deeply"),
        ("a = " + "{b = " * 2000, "nested too deeply"),
        ("[" + "a." * 300 + "a]", "nested too deeply"),
        (f"rate_hz = {DIGITS}", "not TOML"),
        ("rate_hz = 1" + "0" * 400, "rate_hz: expected a number of sensible size"),
        ("qat.steps = 1" + "0" * 400, "qat.steps: expected a number of sensible size"),
        ("rate_hz = 1e400", "rate_hz: expected 1 to 240; got inf"),
        ("rate_hz = nan", "rate_hz"),
        ("ramp = nan", "ramp: expected 0 to 100; got nan"),
        ("ramp = inf", "ramp"),
        ("rate_hz = '12'", "rate_hz: expected float"),
        ("rate_hz = 1979-05-27", "rate_hz: expected float"),
        ("encoder = [1]", "encoder: expected an object"),
        ("colour = 'red'", "unknown 'colour'"),
        ("rate_hz = 12.0\0", "not TOML"),
        ("rate_hz = 12.0\n".encode("utf-16"), "not UTF-8"),
        ("# caf\xe9\n".encode("latin-1"), "not UTF-8"),
        (b"#" * (1 << 20) + b"#", "too large"),
    ],
    ids=lambda value: repr(value[:16]),
)
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    path = written(tmp_path / "train.toml", text)
    assert says in said(ConfigError, lambda: settings(path))


@pytest.mark.parametrize("text", ["rate_hz = 15.0\r\n", "\ufeffrate_hz = 15.0\n"], ids=repr)
def test_settings_as_windows_writes_them_are_read(tmp_path: Path, text: str) -> None:
    found: Any = settings(written(tmp_path / "train.toml", text))
    assert found.rate_hz == 15.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400])
def test_no_number_of_the_settings_may_be_none(value: float) -> None:
    config = pytest.importorskip("edgecap_convert.training.config")
    captions = pytest.importorskip("edgecap_convert.captions.config")
    for kind in (config.TrainConfig, captions.CaptionConfig):
        numbers = list(_numbers(kind().to_dict()))
        assert len(numbers) > 20
        for path in numbers:
            document: Any = value
            for name in reversed(path):
                document = {name: document}
            with pytest.raises(ConfigError):
                kind.from_dict(document)


def _numbers(document: dict[str, Any], path: tuple[str, ...] = ()) -> Any:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*path, name))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield (*path, name)


@pytest.mark.parametrize("content", ["[]", "null", "3", "[" * 9999, DEEP, "\xff", "", "{", DIGITS])
def test_a_run_with_damaged_records_is_refused(tmp_path: Path, content: str) -> None:
    runs = pytest.importorskip("edgecap_convert.training.runs")
    captions = pytest.importorskip("edgecap_convert.captions.runs")
    for name in (runs.CONFIG_FILE, runs.METRICS_FILE, runs.PARITY_FILE, runs.SPLIT_FILE):
        written(tmp_path / name, content.encode("latin-1"))
    assert "config.json is damaged" in said(DataError, lambda: runs.open_run(tmp_path))
    assert "metrics.json is damaged" in said(DataError, lambda: runs.read_metrics(tmp_path))
    assert "Convert the run again" in said(ConfigError, lambda: runs.converted_recipe(tmp_path))
    said(DataError, lambda: runs.settle_split(tmp_path, "clips", {"train": []}))
    assert not captions.is_caption_run(tmp_path)
    written(tmp_path / runs.CONFIG_FILE, '{"task": "captioning", "config": []}')
    said(ConfigError, lambda: captions.open_caption_run(tmp_path, finished=False))


def test_a_benchmark_that_is_none_is_refused(tmp_path: Path) -> None:
    for content in ("[" * 9999, DEEP, "[]", "{}", DIGITS, '{"schema": NaN}', b"\xff\xfe{\0}\0"):
        path = written(tmp_path / "bench.json", content)
        assert "expected a document of 'edgecap bench" in said(
            DataError, lambda path=path: read_bench(str(path))
        )


def test_json_is_parsed_to_a_depth_that_all_code_can_follow(tmp_path: Path) -> None:
    assert parse_json("[" * 64 + "]" * 64) == json.loads("[" * 64 + "]" * 64)
    with pytest.raises(ValueError, match="64 levels"):
        parse_json("[" * 65 + "]" * 65)
    assert read_json(written(tmp_path / "a.json", b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}
    with pytest.raises(OSError, match="too large"):
        read_small(written(tmp_path / "b", bytes(11)), 10)


# --- what stands in a file's place ---


READERS: dict[str, tuple[type[EdgecapError], Callable[[Path], object]]] = {
    "model": (ModelFileError, read_bundle),
    "picture": (DataError, read_image),
    "film": (SourceError, VideoFile),
    "CSV": (DataError, lambda path: list(read_rows(path)[1])),
    "captions": (DataError, read_captions),
    "benchmark": (DataError, lambda path: read_bench(str(path))),
    "settings": (ConfigError, settings),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_a_device_a_folder_or_nothing_in_a_files_place_is_refused_at_once(
    tmp_path: Path, pipe: Path, reader: str
) -> None:
    error, read = READERS[reader]
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (pipe, Path("/dev/zero"), folder, tmp_path / "none"):
        assert str(path) in said(error, lambda path=path: read(path))


def test_a_pipe_or_a_device_is_no_key(pipe: Path, demo_path: Path) -> None:
    pytest.importorskip("cryptography")
    from edgecap.signature import require_signature, sign

    bundle = read_bundle(demo_path)
    for path in (pipe, Path("/dev/zero"), pipe.parent):
        for job in (
            lambda path=path: require_signature("m.tflite", bundle, path),
            lambda path=path: sign(demo_path, path, pipe.parent / "signed.tflite"),
        ):
            assert str(path) in said(SignatureError, job)


def test_a_pipe_is_no_source_of_frames(pipe: Path) -> None:
    pipe.rename(pipe.with_name("pipe.mp4"))
    for name in (str(pipe.with_name("pipe.mp4")), f"live:{pipe.with_name('pipe.mp4')}"):
        assert "no such file" in said(SourceError, lambda name=name: open_source(name))


def test_a_pipe_in_a_data_set_is_an_unreadable_clip(tmp_path: Path, pipe: Path) -> None:
    for path in (pipe, Path("/dev/zero")):
        text = f"path,label\n{path},x\n"
        (clip,) = open_dataset(written(tmp_path / "clips.csv", text)).clips
        assert "unreadable clip" in said(DataError, lambda clip=clip: clip.read(SPEC, 12.0))


def test_what_may_not_be_read_is_named(demo_path: Path) -> None:
    # Root may read everything: its child becomes another user, who may not enter tmp_path.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_video(folder / "film.avi", 2)
        write_images(folder / "pictures", 2)
        shutil.copy(demo_path, folder / "m.tflite")
        written(folder / "clips.csv", "path,label\nfilm.avi,x\n")
        for path in folder.iterdir():
            path.chmod(0)
        script = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from edgecap.errors import EdgecapError\n"
            "from edgecap.extras import require_cv2\n"
            "from tests.test_hostile_inputs import *\n"
            "folder = Path(sys.argv[1])\n"
            "require_cv2('')\n"
            "if os.geteuid() == 0:\n"
            "    os.setgid(65534)\n"
            "    os.setuid(65534)\n"
            "for read, name in ((read_bundle, 'm.tflite'), (read_image, 'm.tflite'),\n"
            "                   (VideoFile, 'film.avi'), (open_dataset, 'clips.csv'),\n"
            "                   (read_captions, 'clips.csv'), (open_dataset, 'pictures'),\n"
            "                   (lambda path: open_source(path), 'pictures'),\n"
            "                   (lambda path: open_source(path), 'pictures/1.png')):\n"
            "    try:\n"
            "        read(folder / name)\n"
            "    except EdgecapError as error:\n"
            "        print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, name],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
        )
        for path in folder.iterdir():
            path.chmod(0o755)
    lines = done.stdout.splitlines()
    assert len(lines) == 8, done.stderr
    assert all("Permission denied" in line and name in line for line in lines), lines


# --- tables and labels ---


def utf16(heading: str) -> bytes:
    return f"{heading}\na.avi,a word\n".encode("utf-16-le")


@pytest.mark.parametrize("heading", ["path,label", "image,caption"])
@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (None, r"not text \(a NUL"),
        ("a.avi,a word\0\n", "line 2: not text"),
        ("a\0.avi,a word\n", "line 2: not text"),
        (b"\xed\xa0\x80.avi,a word\n", "not UTF-8 text"),
        (b"\x85.avi,a word\n", "not UTF-8 text"),
        (f"{'a' * 200_000},a word\n", "line 2: not CSV: field larger"),
        (f"{'a,' * 800_000}\n", "line 2: expected 1048576 characters"),
        ("a" * 3_000_000, "line 2: expected 1048576 characters"),
        (f"{LONG}.avi,a word\n", "File name too long"),
        ('"a\n', "not CSV"),
    ],
    ids=[
        *("UTF-16", "NUL", "NUL in a path", "half a character", "Latin-1"),
        *("long cell", "many cells", "long line", "long name", "open quote"),
    ],
)
def test_tables_in_odd_encodings_are_refused_with_their_line(
    tmp_path: Path, heading: str, rows: str | bytes | None, says: str
) -> None:
    content = rows.encode() if isinstance(rows, str) else rows
    data = utf16(heading) if content is None else f"{heading}\n".encode() + content
    path = written(tmp_path / "clips.csv", data)
    read = open_dataset if heading.startswith("path") else read_captions
    message = said(DataError, lambda: read(path))
    assert re.search(says, message), message
    assert "clips.csv" in message
    assert "\0" not in message


def test_a_table_of_very_many_columns_is_refused_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", ",".join(f"c{i}" for i in range(100_000)))
    assert "1000 columns at most; got 100000" in said(DataError, lambda: read_rows(path))


def test_a_name_that_no_file_can_have_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / f"{LONG}.csv"
    assert not is_captions(path)
    for read in (open_dataset, read_captions):
        assert "File name too long" in said(DataError, lambda read=read: read(path))


def test_lists_of_flickr8k_in_utf_16_are_told_from_text(tmp_path: Path) -> None:
    written(tmp_path / "Flickr8k.token.txt", "a.jpg#0\ta word\n")
    for content, says in (
        ("a.jpg\n".encode("utf-16-le"), "a NUL in it"),
        ("a.jpg\n".encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbfa.jpg\r\n", "1 of 1 pictures are missing"),
    ):
        written(tmp_path / "Flickr_8k.trainImages.txt", content)
        assert says in said(DataError, lambda: read_captions(tmp_path))


# --- pictures ---


def png(width: int, height: int) -> bytes:
    """A small file that claims to be a picture of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [60_000, 30_000])
def test_a_bomb_in_a_folder_of_pictures_is_refused(tmp_path: Path, side: int) -> None:
    folder = write_images(tmp_path / "scan", 2)
    written(folder / "2.png", png(side, side))
    with ImageFolder(folder, rate_hz=1.0) as source:
        message = said(SourceError, lambda: list(source))
    assert f"2.png: {side}×{side} pixels are too many" in message


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tiff", ".ppm"])
def test_bombs_of_other_kinds_take_no_memory(tmp_path: Path, suffix: str) -> None:
    """The decoder looks at what is claimed, in a process that first loads it through edgecap."""
    cv2 = pytest.importorskip("cv2")
    side = 20_000
    if suffix == ".ppm":
        data = f"P6\n{side} {side}\n255\n".encode() + bytes(1000)
    else:
        good, encoded = cv2.imencode(suffix, np.zeros((16, 16, 3), np.uint8))
        assert good
        data = _claiming(suffix, bytearray(encoded.tobytes()), side)
    path = written(tmp_path / f"bomb{suffix}", data)
    script = (
        "import sys, resource\n"
        "from edgecap.images import read_image\n"
        "from edgecap.errors import DataError\n"
        "from edgecap.extras import require_cv2\n"
        "require_cv2('')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    read_image(sys.argv[1])\n"
        "except DataError as error:\n"
        "    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    message, megabytes = done.stdout.splitlines()
    assert "not a picture" in message
    assert int(megabytes) < 300
    assert done.stderr == ""


def _claiming(suffix: str, data: bytearray, side: int) -> bytes:
    """The bytes of a picture, with other sides in its header."""
    if suffix == ".jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif suffix == ".bmp":
        data[18:26] = struct.pack("<ii", side, side)
    else:
        start = int.from_bytes(data[4:8], "little")
        for entry in range(
            start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12
        ):
            if int.from_bytes(data[entry : entry + 2], "little") in (256, 257):
                data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
    return bytes(data)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm"])
def test_a_picture_that_is_cut_short_is_refused(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    data = cv2.imencode(suffix, image)[1].tobytes()
    for share in (0.0, 0.01, 0.4):
        path = written(tmp_path / f"cut{suffix}", data[: int(len(data) * share)])
        if suffix == ".jpg" and share > 0.01 and cv2.__version__ < "5":
            # Older ones give what there is.
            continue
        assert "or cut short" in said(DataError, lambda path=path: read_image(path))
    # libpng tells by itself; OpenCV does where somebody loaded it before edgecap.
    assert "libpng" not in capfd.readouterr().err


def test_a_picture_that_vanishes_or_changes_between_listing_and_reading(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", 3)
    frames = iter(ImageFolder(folder, rate_hz=1.0))
    next(frames)
    (folder / "2.png").unlink()
    assert "2.png: cannot be read: No such file" in said(SourceError, lambda: next(frames))
    frames = iter(ImageFolder(folder, rate_hz=1.0))
    next(frames)
    os.truncate(folder / "3.png", 100)
    assert "3.png" in said(SourceError, lambda: next(frames))


# --- films ---


@pytest.mark.parametrize("name", ["a.avi", "b.mp4"])
@pytest.mark.parametrize("change", ["cut", "emptied", "removed", "zeros and removed"])
def test_a_film_that_changes_while_it_is_read_ends_in_good_order(
    tmp_path: Path, name: str, change: str
) -> None:
    path = write_video(tmp_path / name, 120, size=(240, 320))
    size = path.stat().st_size
    if "zeros" in change:
        with path.open("r+b") as file:
            file.seek(size // 2)
            file.write(bytes(size - size // 2))
    try:
        with VideoFile(path) as film:
            count = 0
            for _ in film:
                count += 1
                if count == 2:
                    if "removed" in change:
                        path.unlink()
                    else:
                        os.truncate(path, size // 2 if change == "cut" else 0)
    except SourceError:
        # An MP4 whose index lay in the zeros.
        assert "zeros" in change
    else:
        assert 2 <= count <= 120


def test_a_film_that_claims_to_be_enormous_takes_no_memory(tmp_path: Path) -> None:
    data = bytearray(write_video(tmp_path / "a.avi", 3).read_bytes())
    at, main = data.index(b"strf"), data.index(b"avih")
    data[at + 12 : at + 20] = struct.pack("<ii", 60_000, 60_000)
    data[main + 40 : main + 48] = struct.pack("<II", 60_000, 60_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        frames = list(VideoFile(written(tmp_path / "bomb.avi", data)))
    except SourceError:
        frames = []
    # A JPEG says its size itself.
    assert all(frame.image.shape == (48, 64, 3) for frame in frames)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


@pytest.mark.parametrize(
    "name", ["a b.avi", "ü☃.avi", "a\nb.avi", "100%d.avi", "concat:x.avi", "'q\".avi", "#.avi"]
)
def test_films_and_pictures_of_any_name_are_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.avi", 3).rename(tmp_path / name)
    write_images(tmp_path / "x", 2).rename(tmp_path / f"{name}.folder")
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, Path(name)):
        with VideoFile(path) as film:
            assert len(list(film)) == 3
        with ImageFolder(f"{path}.folder", rate_hz=1.0) as pictures:
            assert len(list(pictures)) == 2


# --- frames, and what a model may come to ---


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_frames_are_bytes_so_that_none_is_nan(tmp_path: Path, value: float) -> None:
    model = handmade.model(tmp_path / "m.tflite", "regression")
    for stream in (model.stream(), model.stream(gate=SceneGate())):
        before = stream.snapshot()
        for dtype in (np.float32, np.float64, np.float16):
            frame: Any = np.full((4, 4, 3), value, dtype)
            assert "expected dtype uint8" in said(
                FrameError, lambda stream=stream, frame=frame: stream.step(frame)
            )
        # A refused frame leaves no trace in the states.
        stream.step(handmade.images(1)[0])
        other = model.stream()
        other.restore(before)
        other.step(handmade.images(1)[0])
        for one, two in zip(stream.snapshot().states, other.snapshot().states, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_is_no_number_is_null_in_json() -> None:
    values = np.array([np.nan, np.inf, 1.5], np.float32)
    prediction = RegressionPrediction(0.0, (), values)
    frame = Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8))
    record = result_record(Result(frame, prediction, 1.0), ("a", "b", "c"))
    assert record["values"] == {"a": None, "b": None, "c": 1.5}
    json.dumps(record, allow_nan=False)


# --- a full disk ---

_FULL = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
from edgecap.bundle import read_bundle, replace_spec
from edgecap.cli.common import write_output
from edgecap.errors import EdgecapError
folder, demo = Path(sys.argv[1]), sys.argv[2]
bundle = read_bundle(demo)
def tuned():
    replace_spec(demo, folder / "m.tflite", expected=bundle.spec, spec=bundle.spec, card="x")
jobs = [tuned, lambda: write_output(str(folder / "a.json"), "x" * 1000)]
try:
    import cryptography
    from edgecap.signature import make_keys
    jobs.append(lambda: make_keys(folder / "k.pem"))
except ImportError:
    pass
try:
    from edgecap_convert.training.runs import METRICS_FILE, write_json
    jobs.append(lambda: write_json(folder / METRICS_FILE, list(range(1000))))
except ImportError:
    pass
for job in jobs:
    try:
        job()
        print("written")
    except EdgecapError as error:
        print(error)
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, demo_path: Path) -> None:
    old = {
        name: written(tmp_path / name, b"old") for name in ("m.tflite", "a.json", "metrics.json")
    }
    done = subprocess.run(
        [sys.executable, "-B", "-c", _FULL, str(tmp_path), str(demo_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert len(lines) >= 2, done.stderr
    assert all(line.startswith("cannot write ") for line in lines), lines
    # No half key either, and nothing beside.
    assert sorted(tmp_path.iterdir()) == sorted(old.values())
    assert all(path.read_bytes() == b"old" for path in old.values())


# --- the command ---


def test_the_command_answers_in_one_line_without_control_characters(
    tmp_path: Path, demo_path: Path
) -> None:
    write_video(tmp_path / "a.avi", 2)
    escaping = written(tmp_path / "clips.csv", "\x1b[2Jpath,lab\x07el\na.avi,x\n")
    result = edgecap("evaluate", "demo", escaping)
    refused(result, code=1, says="no column 'path'")
    assert result.err.rstrip("\n").isprintable()
    odd = tmp_path / "a\nb\x1b[2J.tflite"
    shutil.copy(demo_path, odd)
    with odd.open("r+b") as file:
        file.truncate(5000)
    result = edgecap("info", odd)
    refused(result, code=1, says="cut short")
    assert result.err.rstrip("\n").isprintable()


def test_the_command_runs_paths_of_any_name(tmp_path: Path, demo_path: Path) -> None:
    folder = tmp_path / "with space, ü\nand more"
    model, film = folder / "m\n.tflite", folder / "100%d ☃.avi"
    write_video(film, 3)
    shutil.copy(demo_path, model)
    lines = folder / "out\n.jsonl"
    done = edgecap("run", model, "--source", film, "--quiet", "--jsonl", lines)
    assert (done.code, done.err) == (0, "")
    assert lines.read_text("utf-8").count("\n") == 3


def test_the_command_refuses_devices_and_pipes(tmp_path: Path, pipe: Path) -> None:
    refused(edgecap("info", pipe), code=1, says="expected a file")
    refused(edgecap("bench", "--compare", pipe, "/dev/zero"), code=1, says="expected a file")
