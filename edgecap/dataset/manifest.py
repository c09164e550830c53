"""CSV manifests: a row per clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edgecap.dataset.clip import Clip
from edgecap.dataset.csvfile import read_rows
from edgecap.errors import DataError
from edgecap.sources.folder import SUFFIXES as IMAGE_SUFFIXES

SUFFIXES = (".csv", ".tsv", ".txt")
#: Between the labels of a clip.
SEPARATOR = ";"
_KNOWN = ("path", "label", "group", "start_s", "end_s", "table", "fps")
_FORM = "path,label[,group][,start_s,end_s], or path,table for regression"


@dataclass(frozen=True)
class _Row:
    """A row's cells by column; missing columns are empty."""

    where: str
    cells: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name, "")

    def number(self, name: str, low: float) -> float | None:
        text = self[name]
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= low):
            raise DataError(
                f"{self.where}: {name}: expected a number, {low:g} or more; got {text[:40]!r}"
            )
        return number


def read_manifest(path: Path, task: str | None) -> tuple[str, list[Clip]]:
    """Reads a manifest; paths in it are absolute, or relative to its folder.

    Args:
      path: the CSV file. task: ``None`` to tell it by the columns.

    Returns:
      The task, and the clips in the order of the rows.

    Raises:
      DataError: a column, cell or row that is wrong, with its line; or none of the clips exists.
    """
    heading, lines = read_rows(path)
    names = [name.lower() if name.lower() in _KNOWN else name for name in heading]
    rows = [
        _Row(f"{path}, line {line}", dict(zip(names, cells, strict=True))) for line, cells in lines
    ]
    if "path" not in names:
        raise DataError(
            f"{path}: no column 'path'; expected {_FORM}; found {','.join(heading)[:200]}"
        )
    if not rows:
        raise DataError(f"{path}: a heading and no rows")
    task = task or _task(path, heading, names, rows)
    if task != "regression" and "label" not in names:
        raise DataError(
            f"{path}: no column 'label'; expected {_FORM}; found {','.join(heading)[:200]}"
        )
    clips = [_clip(row, path.parent, task) for row in rows]
    _refuse_repeats(clips, rows)
    if not any(clip.path.exists() for clip in clips):
        raise DataError(
            f"{path}: none of its {len(clips)} clips exists; paths are relative to the manifest's "
            f"folder, so the first would be {clips[0].path}"
        )
    return task, clips


def _task(path: Path, heading: list[str], names: list[str], rows: list[_Row]) -> str:
    if "table" in names:
        return "regression"
    if "label" in names:
        several = any(SEPARATOR in row["label"] for row in rows)
        return "multilabel" if several else "classification"
    if any(_beside(_resolve(row, path.parent)).is_file() for row in rows):
        return "regression"
    raise DataError(
        f"{path}: no column 'label', and no tables beside the clips; expected {_FORM}; found "
        f"{','.join(heading)[:200]}"
    )


def _clip(row: _Row, root: Path, task: str) -> Clip:
    path = _resolve(row, root)
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir():
        raise DataError(
            f"{row.where}: {row['path']} is a single image; expected a video or a folder of images"
        )
    start_s, end_s = row.number("start_s", 0.0), row.number("end_s", 0.0)
    if end_s is not None and end_s <= (start_s or 0.0):
        raise DataError(f"{row.where}: end_s {end_s:g} is not after start_s {start_s or 0:g}")
    fps = row.number("fps", 1e-3)
    if fps is None and path.is_dir() and (start_s or end_s is not None):
        raise DataError(
            f"{row.where}: a part of a folder of images needs a column fps, its frames a second"
        )
    table = None
    if task == "regression":
        table = _local(root, row["table"]) if row["table"] else _beside(path)
    return Clip(
        path,
        () if task == "regression" else _labels(row, task),
        # Parts of one recording look alike: they stay together unless the manifest says otherwise.
        row["group"] or row["path"],
        start_s=start_s,
        end_s=end_s,
        table=table,
        columns={
            name: cell
            for name, cell in row.cells.items()
            if name == "fps" or name not in _KNOWN or (name == "label" and task == "regression")
        },
        root=root,
    )


def _labels(row: _Row, task: str) -> tuple[str, ...]:
    if task == "multilabel":
        parts = (part.strip() for part in row["label"].split(SEPARATOR))
        return tuple(dict.fromkeys(part for part in parts if part))
    if not row["label"]:
        raise DataError(f"{row.where}: the label is empty")
    return (row["label"],)


def _resolve(row: _Row, root: Path) -> Path:
    if not row["path"]:
        raise DataError(f"{row.where}: the path is empty")
    return _local(root, row["path"])


def _local(root: Path, text: str) -> Path:
    if "\0" in text:
        raise DataError(f"expected a path; got {text[:40]!r}")
    path = root / text
    if "\\" in text and not path.exists():
        # Written on Windows.
        return root / text.replace("\\", "/")
    return path


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name if path.is_dir() else path.stem}.csv")


def _refuse_repeats(clips: list[Clip], rows: list[_Row]) -> None:
    seen: dict[tuple[Path, float | None, float | None], str] = {}
    for clip, row in zip(clips, rows, strict=True):
        key = (clip.path, clip.start_s, clip.end_s)
        if key in seen:
            raise DataError(
                f"{row.where}: {clip.name} was listed before, on {seen[key].rpartition(', ')[2]}; "
                "expected every clip, or part of one, once"
            )
        seen[key] = row.where
