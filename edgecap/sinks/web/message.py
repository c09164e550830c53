"""What is sent to a viewer: the length of a JSON text, the text, and pictures after it."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecap.caption_spec import CAPTIONING
from edgecap.health import Health
from edgecap.predictions import Values
from edgecap.sinks.web.board import HISTORY_S, Board, Row, Seen, Snapshot
from edgecap.spec import ModelSpec

# Of a model with more labels than this, only the likeliest of each frame are sent.
_MOST_LABELS, _LIKELIEST = 64, 16


def about(spec: ModelSpec, board: Board) -> dict[str, Any]:
    """What a page must know once."""
    captions = spec.task == CAPTIONING
    return {
        "name": spec.name,
        "task": spec.task,
        # Of captions, not the words: what is drawn over time.
        "labels": ("word probability",) if captions else spec.labels,
        "background": spec.decision.background,
        "rate_hz": spec.rate_hz,
        "enter": None if spec.task == "regression" or captions else spec.decision.enter,
        "cameras": board.names,
        "history_s": HISTORY_S,
    }


def pack(
    snapshot: Snapshot,
    pictures: Sequence[bytes],
    *,
    run: str,
    about: dict[str, Any] | None,
    viewers: int,
    health: Health,
    task: str,
) -> bytes:
    """The whole message.

    Args:
      snapshot: what is new to the viewer.
      pictures: JPEG of each camera; empty where there is nothing new.
      run: names the run; numbers of another run mean nothing.
      about: see :func:`about`; for a viewer who does not know it yet.
      viewers: how many look on.
      health: of the run.
      task: of the model.
    """
    told = {
        "run": run,
        "number": snapshot.number,
        "viewers": viewers,
        "health": dataclasses.asdict(health),
        "events": [event.told for event in snapshot.events],
        "notices": [notice.told for notice in snapshot.notices],
    }
    if about is not None:
        told["about"] = about
    # One text per camera: a long one would keep the interpreter's lock for its whole length.
    cameras = ",".join(
        json.dumps(_camera(seen, len(picture), task), allow_nan=False, separators=(",", ":"))
        for seen, picture in zip(snapshot.cameras, pictures, strict=True)
    )
    text = f'{json.dumps(told, separators=(",", ":"))[:-1]},"cameras":[{cameras}]}}'.encode()
    return b"".join([struct.pack(">I", len(text)), text, *pictures])


def _camera(seen: Seen, picture: int, task: str) -> dict[str, Any]:
    return {
        "rows": _rows(seen.rows, task),
        "picture": picture,
        "active": seen.active,
        "live": seen.live,
        "lost": seen.lost,
        "slow": seen.slow,
        "idle_s": None if seen.idle_s is None else round(seen.idle_s, 1),
    }


def _rows(rows: Sequence[Row], task: str) -> list[list[Any]]:
    """``[clock_s, [value, …]]`` each, or ``[clock_s, {index: value}]`` of very many labels."""
    if not rows:
        return []
    values = np.stack([row.values for row in rows]).astype(np.float64)
    finite = np.isfinite(values)
    if values.shape[1] > _MOST_LABELS:
        few = [_likeliest(one, task) for one in np.where(finite, values, 0.0)]
        return [[round(row.clock_s, 3), one] for row, one in zip(rows, few, strict=True)]
    values = _rounded(values, task)
    plain: list[list[Any]] = values.tolist()
    for frame, place in np.argwhere(~finite).tolist():
        plain[frame][place] = None
    return [[round(row.clock_s, 3), one] for row, one in zip(rows, plain, strict=True)]


def _likeliest(values: Values, task: str) -> dict[int, float]:
    # Of a measuring model, its first values: all are equally likely to matter.
    order = np.arange(_LIKELIEST) if task == "regression" else np.argsort(-values)[:_LIKELIEST]
    chosen = _rounded(np.asarray(values, np.float64)[order], task)
    return dict(zip(order.tolist(), chosen.tolist(), strict=True))


def _rounded(values: Any, task: str) -> Any:
    if task != "regression":
        return values.round(3)
    # A number of any size: six significant digits.
    safe = np.where(np.isfinite(values) & (values != 0), np.abs(values), 1.0)
    unit = 10.0 ** (np.floor(np.log10(safe)) - 5)
    return np.where(np.isfinite(values), np.round(values / unit) * unit, 0.0)
