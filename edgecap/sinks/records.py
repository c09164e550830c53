"""Results, events and notices as plain data, the same for every sink that writes JSON."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Sequence
from typing import Any

from edgecap.notices import Notice
from edgecap.predictions import (
    CaptionPrediction,
    ClassPrediction,
    MultiLabelPrediction,
    RegressionPrediction,
)
from edgecap.sinks.base import Result


def result_record(
    result: Result, labels: Sequence[str], *, with_camera: bool = False
) -> dict[str, Any]:
    """A result; ``camera`` is in it when asked for, ``latency_ms`` when the source is live."""
    prediction = result.prediction
    record: dict[str, Any] = {
        "frame": result.frame.index,
        "timestamp_s": round(result.frame.timestamp_s, 4),
    }
    if with_camera:
        record["camera"] = result.camera
    if result.latency_ms is not None:
        record["latency_ms"] = round(result.latency_ms, 2)
    if isinstance(prediction, RegressionPrediction):
        # A number of any size: significant digits, not decimals.
        values = (_finite(float(f"{value:.7g}")) for value in prediction.values.tolist())
        return record | {
            "values": dict(zip(labels, values, strict=True)),
            "settled": prediction.settled,
        }
    if isinstance(prediction, CaptionPrediction):
        return record | {
            "caption": prediction.text,
            "score": _finite(round(prediction.score, 4)),
            "written": prediction.written,
        }
    assert isinstance(prediction, (ClassPrediction, MultiLabelPrediction))
    record |= {
        "label": prediction.label,
        "score": _finite(round(prediction.score, 4)),
        "probabilities": {
            label: _finite(round(p, 4))
            for label, p in zip(labels, prediction.probabilities.tolist(), strict=True)
        },
    }
    events = [
        {"label": event.label, "kind": event.kind, "score": round(event.score, 4)}
        for event in prediction.events
    ]
    if isinstance(prediction, MultiLabelPrediction):
        told: dict[str, Any] = {"active": list(prediction.active), "events": events}
    else:
        told = {"event": events[0] if events else None}
    return record | told | {"settled": prediction.settled}


def event_records(result: Result) -> list[dict[str, Any]]:
    """The events of a result, each with all that a receiver needs to know.

    ``time`` is the wall clock's, in UTC, and ``None`` where the source is not live, or its clock
    is none that a day could be told from.
    """
    return [
        {
            "event": event.label,
            "kind": event.kind,
            "score": round(event.score, 4),
            "camera": result.camera,
            "frame": result.frame.index,
            "timestamp_s": round(event.timestamp_s, 4),
            "time": _wall_clock(result),
        }
        for event in result.prediction.events
    ]


def notice_record(notice: Notice) -> dict[str, Any]:
    """A notice."""
    return {
        "notice": notice.kind,
        "told": notice.told,
        "timestamp_s": round(notice.timestamp_s, 4),
        "camera": notice.camera,
    }


def _finite(value: float) -> float | None:
    """JSON has no word for what a float model may come to: NaN and infinity."""
    return value if math.isfinite(value) else None


def _wall_clock(result: Result) -> str | None:
    if result.latency_ms is None:
        return None
    # A live frame's timestamp is monotonic: an event told hours late still says when it was.
    wall_s = time.time() - (time.monotonic() - result.frame.timestamp_s)
    try:
        moment = datetime.datetime.fromtimestamp(wall_s, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        # A camera of one's own may count in whatever it likes: what was seen is worth more.
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
