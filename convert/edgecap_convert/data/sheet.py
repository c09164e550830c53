"""A contact sheet: every class at a glance, as a PNG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.durable import check_writable, write_atomically
from edgecap.extras import require_cv2
from edgecap_convert.data.survey import ClipFacts, Survey, choose

_THUMB_HEIGHT = 84
_COLUMNS = 3
# Few classes get several lines each.
_MOST_LINES, _LINES = 3, 8
_FRAMES_A_CLIP = 5
_FRAMES_A_RECORDING = 9
_MOST_ROWS = 60
_MOST_RECORDINGS = 16
_MARGIN, _LABEL_WIDTH, _TITLE_HEIGHT, _CAPTION_HEIGHT, _ROW_GAP, _CLIP_GAP = 24, 170, 74, 18, 12, 16
_FRAME_GAP = 2
_CURVE_WIDTH = 300
_DPI = 100
_INK, _FAINT, _LINE, _EMPTY, _ACCENT = "#1d2733", "#7a8794", "#e6eaee", 236, "#2f6fb2"


@dataclass(frozen=True)
class _Row:
    title: str
    lines: tuple[str, ...]
    clips: tuple[ClipFacts, ...]


def write_sheet(path: Path, survey: Survey) -> None:
    """Draws frames over time of a few clips of each class, or of recordings with their values.

    Args:
      path: the PNG.
      survey: what to show; its clips must still be there.

    Raises:
      ModelFileError: the file cannot be written. DataError: a clip has gone.
    """
    check_writable(path)
    regression = survey.dataset.task == "regression"
    rows = _recordings(survey) if regression else _classes(survey)
    frames = _FRAMES_A_RECORDING if regression else _FRAMES_A_CLIP
    aspect = float(np.median([facts.size[1] / facts.size[0] for facts in survey.clips]))
    thumb_width = round(_THUMB_HEIGHT * min(max(aspect, 0.5), 2.0))
    strip_width = frames * (thumb_width + _FRAME_GAP) - _FRAME_GAP
    strip_height = _THUMB_HEIGHT + _CAPTION_HEIGHT
    columns = 1 if regression else _COLUMNS
    right = columns * (strip_width + _CLIP_GAP) - _CLIP_GAP
    width = 2 * _MARGIN + _LABEL_WIDTH + right + (_CURVE_WIDTH + 40 if regression else 0)
    tops, height = [], _TITLE_HEIGHT
    for row in rows:
        tops.append(height)
        height += max(1, math.ceil(len(row.clips) / columns)) * strip_height + _ROW_GAP
    height += _MARGIN

    canvas = np.full((height, width, 3), 255, np.uint8)
    strips: list[tuple[int, int, str]] = []
    for row, row_top in zip(rows, tops, strict=True):
        for place, facts in enumerate(row.clips):
            left = _MARGIN + _LABEL_WIDTH + place % columns * (strip_width + _CLIP_GAP)
            top = row_top + place // columns * strip_height
            for index, thumb in enumerate(_thumbnails(facts, frames, thumb_width)):
                x = left + index * (thumb_width + _FRAME_GAP)
                canvas[top : top + _THUMB_HEIGHT, x : x + thumb_width] = thumb
            strips.append((left, top + _THUMB_HEIGHT, _caption(facts)))
    write_atomically(path, _draw(canvas, survey, list(zip(rows, tops, strict=True)), strips))


def _classes(survey: Survey) -> list[_Row]:
    rows = []
    lines_each = min(max(_LINES // len(survey.dataset.labels), 1), _MOST_LINES)
    for label in survey.dataset.labels[:_MOST_ROWS]:
        clips = survey.of_label(label)
        lines = [f"{len(clips)} clips", f"{len({f.clip.group for f in clips})} groups"]
        lengths = [facts.seconds for facts in clips if facts.seconds is not None]
        if lengths:
            lines.append(f"{min(lengths):.1f} to {max(lengths):.1f} s")
        rows.append(_Row(label, tuple(lines), tuple(choose(clips, lines_each * _COLUMNS))))
    return rows


def _recordings(survey: Survey) -> list[_Row]:
    rows = []
    for facts in choose(survey.clips, _MOST_RECORDINGS):
        lines = [f"{facts.frames} frames"]
        if facts.seconds is not None:
            lines.append(f"{facts.seconds:.1f} s")
        rows.append(_Row(facts.clip.path.stem, tuple(lines), (facts,)))
    return rows


def _caption(facts: ClipFacts) -> str:
    text = facts.clip.name
    return text if len(text) < 60 else f"…{text[-58:]}"


def _thumbnails(facts: ClipFacts, count: int, width: int) -> list[npt.NDArray[np.uint8]]:
    """Frames in equal steps over a clip, in the middle of a cell each."""
    cv2 = require_cv2("to draw the contact sheet")
    wanted = set(((np.arange(count) + 0.5) / count * facts.frames).astype(int).tolist())
    thumbs: list[npt.NDArray[np.uint8]] = []
    number = 0
    for frame in facts.clip.frames(1.0):
        if frame.timestamp_s + 1e-3 < (facts.clip.start_s or 0.0):
            continue
        if number in wanted:
            height, wide = frame.image.shape[:2]
            scale = min(width / wide, _THUMB_HEIGHT / height)
            size = max(1, round(wide * scale)), max(1, round(height * scale))
            small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            cell = np.full((_THUMB_HEIGHT, width, 3), _EMPTY, np.uint8)
            y, x = (_THUMB_HEIGHT - size[1]) // 2, (width - size[0]) // 2
            cell[y : y + size[1], x : x + size[0]] = small
            thumbs.append(cell)
        number += 1
        if number > max(wanted):
            break
    return thumbs


def _draw(
    canvas: npt.NDArray[np.uint8],
    survey: Survey,
    rows: Sequence[tuple[_Row, int]],
    strips: Sequence[tuple[int, int, str]],
) -> bytes:
    """Text and curves over the pictures; the PNG's bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    # Below the curves.
    figure.figimage(canvas, origin="upper", zorder=-1)

    def write(
        x: float, y: float, text: str, *, size: float, color: str = _INK, weight: str = "normal"
    ) -> None:
        # A $ in a name is no formula.
        figure.text(
            x / width,
            1 - y / height,
            text.replace("$", r"\$"),
            fontsize=size,
            color=color,
            fontweight=weight,
            va="top",
        )

    name = "/".join(Path(survey.dataset.name).resolve().parts[-2:])
    write(_MARGIN, 18, name, size=15, weight="bold")
    write(_MARGIN, 44, _summary(survey), size=9.5, color=_FAINT)
    for number, (row, top) in enumerate(rows):
        title = row.title if len(row.title) < 20 else f"{row.title[:18]}…"
        write(_MARGIN, top, title, size=11, weight="bold")
        for index, line in enumerate(row.lines):
            write(_MARGIN, top + 22 + 15 * index, line, size=8.5, color=_FAINT)
        if survey.dataset.task == "regression":
            box = (width - _MARGIN - _CURVE_WIDTH, top, _CURVE_WIDTH, _THUMB_HEIGHT)
            _curve(figure, survey, row.clips[0], box, first=number == 0)
    for left, bottom, caption in strips:
        write(left, bottom + 3, caption, size=7, color=_FAINT)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in a script that the font lacks come out as boxes; that is no reason to complain.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _curve(
    figure: Any,
    survey: Survey,
    facts: ClipFacts,
    box: tuple[int, int, int, int],
    *,
    first: bool,
) -> None:
    """The values over a recording, all recordings on one scale."""
    if facts.values is None:
        return
    width, height = (side * _DPI for side in figure.get_size_inches())
    left, top, wide, high = box
    axes = figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))
    colors = [_ACCENT, "#d1762c", "#3c8d5a", "#9a5fb0", "#7a8794"]
    for number, name in enumerate(survey.dataset.labels):
        color = colors[number % len(colors)]
        axes.plot(facts.values[:, number], color=color, linewidth=0.9, label=name)
    values = np.concatenate([f.values for f in survey.clips if f.values is not None])
    low, top_value = float(values.min()), float(values.max())
    room = 0.08 * (top_value - low) or 1.0
    axes.set_ylim(low - room, top_value + room)
    axes.set_xlim(0, max(1, facts.frames - 1))
    axes.set_xticks([])
    axes.tick_params(labelsize=6.5, colors=_FAINT, length=0)
    axes.grid(axis="y", color=_LINE, linewidth=0.7)
    for side in axes.spines.values():
        side.set_visible(False)
    if first:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=5,
            fontsize=8,
            frameon=False,
            labelcolor=_INK,
        )


def _summary(survey: Survey) -> str:
    parts = [f"{len(survey.clips)} clips", f"{len({f.clip.group for f in survey.clips})} groups"]
    if survey.dataset.task != "regression":
        parts.insert(0, f"{len(survey.dataset.labels)} classes")
        if len(survey.dataset.labels) > _MOST_ROWS:
            parts[0] += f" (the first {_MOST_ROWS} are shown)"
    seconds = sum(facts.seconds or 0.0 for facts in survey.clips)
    if seconds:
        parts.append(f"{seconds / 60:.1f} min")
    if survey.broken:
        parts.append(f"{len(survey.broken)} broken")
    return "  ·  ".join(parts)
