"""From a path to a data set: which of the forms is it, and what does it hold?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecap.dataset.clip import Clip
from edgecap.dataset.manifest import SUFFIXES as MANIFEST_SUFFIXES
from edgecap.dataset.manifest import read_manifest
from edgecap.dataset.table import read_names
from edgecap.errors import DataError
from edgecap.sources.folder import list_images, natural_key

TASKS = ("classification", "multilabel", "regression")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv")

_FORMS = (
    "expected CLASS/clip.mp4 or CLASS/clip/frame.jpg, videos with a table of numbers each "
    "(run.mp4 and run.csv), or a CSV manifest path,label[,group][,start_s,end_s]"
)
# What file managers and archives leave behind.
_LEFTOVERS = ("__MACOSX", "@eaDir")


@dataclass(frozen=True)
class Dataset:
    """Clips and what is to be learnt from them.

    Attributes:
      name: as given by the user.
      clips: in natural order of folders and names, or in the manifest's order.
      task: ``classification``, ``multilabel`` or ``regression``.
      labels: the classes in natural order, or the names of the values.
      root: the folder that the clips' names are relative to.
    """

    name: str
    clips: tuple[Clip, ...]
    task: str
    labels: tuple[str, ...]
    root: Path


def open_dataset(name: str | Path, *, task: str | None = None) -> Dataset:
    """Lists the clips of a folder or a manifest; nothing is decoded.

    Forms: a folder per class of videos or of folders of images; videos (or folders of images)
    with a CSV table of the same name each; a CSV manifest ``path,label[,group][,start_s,end_s]``
    with any further columns, in which several labels are separated by ``;`` and a column ``table``
    (or tables beside the recordings) means regression.

    Args:
      name: the folder or the manifest.
      task: where the form leaves a choice; otherwise tables mean regression, several labels in a
        cell mean multilabel, and the rest is classification.

    Raises:
      DataError: nothing there, none of the forms, or a manifest that is wrong.
    """
    if task is not None and task not in TASKS:
        raise DataError(f"task: expected one of {', '.join(TASKS)}; got {task!r}")
    path = Path(name)
    try:
        if path.is_dir():
            task, clips = _folder(path, task)
            root = path
        elif path.is_file():
            if path.suffix.lower() not in MANIFEST_SUFFIXES:
                raise DataError(f"{name}: a file that is no CSV manifest; {_FORMS}")
            task, clips = read_manifest(path, task)
            root = path.parent
        else:
            raise DataError(f"{name}: no such folder or manifest; {_FORMS}")
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
    return Dataset(str(name), tuple(clips), task, _labels(clips, task), root)


def _folder(root: Path, task: str | None) -> tuple[str, list[Clip]]:
    entries = _entries(root)
    recordings = [entry for entry in entries if _is_recording(entry)]
    with_table = [entry for entry in recordings if _table_of(entry).is_file()]
    if task == "regression" or (task is None and with_table):
        lacking = [entry.name for entry in recordings if entry not in with_table]
        if lacking or not recordings:
            said = f"{len(lacking)} have none: {_few(lacking)}" if lacking else "there are none"
            raise DataError(
                f"{root}: for regression, expected recordings with a table of the same name each, "
                f"run.mp4 and run.csv; {said}"
            )
        clips = [
            Clip(entry, (), entry.name, table=_table_of(entry), root=root) for entry in recordings
        ]
        return "regression", clips
    clips = []
    for directory in (entry for entry in entries if entry.is_dir()):
        for entry in _entries(directory):
            if entry.is_dir() or _is_recording(entry):
                group = f"{directory.name}/{entry.name}"
                clips.append(Clip(entry, (directory.name,), group, root=root))
    if not any(_is_recording(clip.path) for clip in clips):
        raise DataError(f"{root}: no clips found{_hint(recordings, clips)}; {_FORMS}")
    return task or "classification", clips


def _hint(recordings: Sequence[Path], clips: Sequence[Clip]) -> str:
    """What lies there instead."""
    for clip in clips:
        inside = [entry for entry in _entries(clip.path) if _is_recording(entry)]
        if inside:
            return f", but {clip.name} holds {inside[0].name}: one folder too many"
    if recordings:
        return f", but {recordings[0].name} lies in no folder of a class"
    return ""


def _entries(folder: Path) -> list[Path]:
    found = (e for e in folder.iterdir() if not e.name.startswith(".") and e.name not in _LEFTOVERS)
    return sorted(found, key=lambda entry: natural_key(entry.name))


def _is_recording(entry: Path) -> bool:
    if entry.is_dir():
        return bool(list_images(entry))
    return entry.suffix.lower() in VIDEO_SUFFIXES


def _table_of(recording: Path) -> Path:
    # A folder's name may hold a dot that is no suffix.
    stem = recording.name if recording.is_dir() else recording.stem
    return recording.with_name(f"{stem}.csv")


def _labels(clips: Sequence[Clip], task: str) -> tuple[str, ...]:
    if task != "regression":
        found = {label for clip in clips for label in clip.labels}
        return tuple(sorted(found, key=natural_key))
    names: tuple[str, ...] = ()
    first: Path | None = None
    for table in dict.fromkeys(clip.table for clip in clips if clip.table is not None):
        if not table.is_file():
            # One missing table is a broken clip; it is told when the clip is read.
            continue
        found_names = read_names(table)
        if first is None:
            first, names = table, found_names
        if found_names != names:
            raise DataError(
                f"{table}: values {', '.join(found_names)}; but {first} has {', '.join(names)}. "
                "Expected the same columns in every table"
            )
    if first is None:
        raise DataError(f"{clips[0].table}: no such table")
    return names


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
