"""Writes the folder that any web server can serve."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgecap.browser.litert import LiteRtJs
from edgecap.bundle import parse_bundle, read_bundle
from edgecap.contract import bind
from edgecap.durable import sync_folder, write_synced
from edgecap.errors import ConfigError, ModelFileError, SpecError

#: Models that answer every frame; another task has no page.
STREAMING_TASKS = ("classification", "multilabel", "regression")
MODEL = "model.tflite"
_WORKER = "service-worker.js"
# A folder within the page's own, as that may be the root of a disk.
_BESIDE = ".edgecap-web-"
_OWN = Path(__file__).with_name("assets")
# The page is a sibling of the one that 'edgecap run --view web' serves, and has these from it.
_SHARED_FROM = Path(__file__).parents[1] / "sinks" / "web" / "assets"
_SHARED = ("camera.js", "chart.js", "icon.svg", "page.css")
_NOTICE = """\
These two files are part of LiteRT.js {version} (npm: @litertjs/core), unchanged.
Copyright Google LLC. Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0
Source: https://github.com/google-ai-edge/LiteRT
"""


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
      folder: where.
      model: its name.
      files: relative path → bytes.
      version: of all files together; a browser that has another one fetches them anew.
    """

    folder: Path
    model: str
    files: dict[str, int]
    version: str


def write_site(model: str | Path, out: str | Path, *, litert: LiteRtJs) -> Site:
    """Writes the page with a model in it.

    Args:
      model: an edgecap model file.
      out: a new or an empty folder, or one that this has written before.
      litert: the runtime.

    Raises:
      ModelFileError, SpecError: the model is damaged, or no page can run it.
      ConfigError: the folder cannot be written, or holds something else.
    """
    folder = Path(out)
    bundle = read_bundle(model)
    data = Path(model).read_bytes()
    # What is written is what was checked, whatever happens to the file meanwhile.
    if not data.startswith(bundle.model) or parse_bundle(data).spec != bundle.spec:
        raise ModelFileError(f"{model} has changed in the meantime; nothing was written")
    # First of all: a graph of another task has no step to be bound.
    check_runnable(model, bundle.spec.task, bundle.spec.input.resize)
    bind(bundle.graph, bundle.spec)
    files = {MODEL: data}
    for source, names in ((_OWN, None), (_SHARED_FROM, _SHARED)):
        for file in sorted(source.iterdir()):
            if names is None or file.name in names:
                files[file.name] = file.read_bytes()
    for file in litert.files:
        files[f"litert/{file.name}"] = file.read_bytes()
    files["litert/NOTICE.txt"] = _NOTICE.format(version=litert.version).encode()
    files["manifest.webmanifest"] = _manifest(bundle.spec.name)
    version = _digest(files)
    cached = ["./", *(name for name in sorted(files) if name != _WORKER)]
    files[_WORKER] = (
        files[_WORKER]
        .replace(b'"VERSION"', json.dumps(version).encode())
        .replace(b'["FILES"]', json.dumps(cached).encode())
    )
    _write(folder, files)
    return Site(folder, bundle.spec.name, {n: len(d) for n, d in sorted(files.items())}, version)


def check_runnable(model: str | Path, task: str, resize: str) -> None:
    """Raises ``SpecError`` for a model that the page cannot run."""
    if task not in STREAMING_TASKS:
        raise SpecError(
            f"{model}: the page runs models that answer every frame: {', '.join(STREAMING_TASKS)}; "
            f"this one's task is {task!r}. Run it with the edgecap command instead"
        )
    if resize != "linear":
        raise SpecError(
            f"{model}: the page resizes frames by 'linear' only; this model was trained with "
            f'{resize!r}. Train with resize = "linear", or run it with the edgecap command'
        )


def _manifest(name: str) -> bytes:
    """What a phone needs to keep the page among its apps."""
    icon = {"src": "icon.svg", "type": "image/svg+xml", "sizes": "any", "purpose": "any"}
    document = {
        "name": name,
        "short_name": name[:30],
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#0f1012",
        "theme_color": "#0f1012",
        "icons": [icon],
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """All files beside their places, forced to the disk, then renamed one after the other.

    A full disk leaves the folder as it was. The worker comes last: a browser that has the page
    asks for new files when that one has changed, and not before.
    """
    made = not folder.exists()
    beside = folder / f"{_BESIDE}{os.getpid()}-{os.urandom(6).hex()}"
    try:
        if not made:
            _check_own(folder)
        try:
            for name, data in files.items():
                (beside / name).parent.mkdir(parents=True, exist_ok=True)
                write_synced(beside / name, data)
            for name in sorted(files, key=lambda name: name == _WORKER):
                (folder / name).parent.mkdir(exist_ok=True)
                (beside / name).replace(folder / name)
        except BaseException:
            shutil.rmtree(folder if made else beside, ignore_errors=True)
            raise
        # Also what others left that were killed.
        for left in folder.glob(f"{_BESIDE}*"):
            shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror or error}") from error
    for written in {(folder / name).parent for name in files}:
        sync_folder(written)


def _check_own(folder: Path) -> None:
    there = [entry.name for entry in folder.iterdir()] if folder.is_dir() else [""]
    # Who was killed between two renames has left no worker yet, but what lay beside.
    if there and not any(name == _WORKER or name.startswith(_BESIDE) for name in there):
        raise ConfigError(
            f"{folder}: expected a new or an empty folder, or one that 'edgecap web' has "
            "written; this is something else. Choose another name"
        )
