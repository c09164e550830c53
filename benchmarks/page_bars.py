"""What the project promises of speed, beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from page_data import MISSING, Results, number, percent, table, time_us, verdict
from page_peers import PROMISED, taken_beside
from page_speed import benches, stage_times

#: At most so much around the graph: of its time, and without the resize.
_AROUND, _WITHOUT_RESIZE_US = 0.15, 60.0
_COLD = 1.3
_RIGHT = 0.95


@dataclass(frozen=True)
class Bar:
    """A promise: what was found, whether it holds (``None``: not, or not all of it, measured), and
    by which result."""

    promise: str
    found: str
    holds: bool | None
    source: str

    def row(self) -> list[str]:
        link = f"[{self.source}](../benchmarks/results/{self.source}.json)"
        source = link if self.found != MISSING else f"{self.source}, missing"
        return [self.promise, self.found, verdict(self.holds), source]


def bars_table(results: Results, pictures: dict[str, Any]) -> str:
    """One row a promise."""
    rows = [bar.row() for bar in all_bars(results)]
    return table(["bar", "measured", "", "result"], rows, left=4)


def all_bars(results: Results) -> list[Bar]:
    return [*_peers(results), *_around(results), *_scaling(results), *_others(results)]


def _peers(results: Results) -> list[Bar]:
    taken = taken_beside(results)
    if not taken:
        return [
            Bar(f"a frame at least {times:g} times as fast as {name}", MISSING, None, "peers")
            for name, times in PROMISED.items()
        ]
    return [
        Bar(
            f"{each.result['model']}: a frame at least {bar['wanted']:g} times as fast as "
            f"{bar['side']}",
            f"{number(bar['times_edgecap'])} times",
            bar["met"],
            each.name,
        )
        for each in taken
        for bar in each.result["bars"]
    ]


def _around(results: Results) -> list[Bar]:
    share = f"around the graph, at most {_AROUND * 100:g} % of it, resize from 640×480 included"
    plain = f"and at most {_WITHOUT_RESIZE_US:g} µs without the resize"
    taken = next((t for t in benches(results) if t.name == "bench_demo"), None)
    bars = []
    if taken is None:
        bars.append(Bar(share, MISSING, None, "bench_demo"))
    else:
        p50 = stage_times(taken.result)
        around = sum(value for name, value in p50.items() if name != "invoke") / p50["invoke"]
        bars.append(Bar(share, percent(around), around <= _AROUND, taken.name))
    step = results.get("step_overhead")
    extra = None if step is None else step.result["extra_us"]
    bars.append(
        Bar(
            plain,
            time_us(extra),
            None if extra is None else extra <= _WITHOUT_RESIZE_US,
            "step_overhead",
        )
    )
    return bars


def _scaling(results: Results) -> list[Bar]:
    promised = {
        "length": "a frame of a stream costs the same within 2 %, from 100 frames to a million",
        "streams": "32 streams cost at most 32 times one",
    }
    taken = results.get("scaling")
    bars = []
    for curve, promise in promised.items():
        found = taken.result["curves"].get(curve) if taken is not None else None
        if found is None:
            bars.append(Bar(promise, MISSING, None, "scaling"))
            continue
        points = found["points"]
        if curve == "length":
            worst = max(
                (abs(p[n] - 1), p["frames"]) for p in points for n in ("ratio", "cpu_ratio")
            )
            told = f"{percent(worst[0], 2)} at most, at {worst[1]:,} frames; "
            told += f"longest {points[-1]['frames']:,}"
            complete = points[-1]["frames"] >= 1_000_000
        else:
            told = f"{points[-1]['times_one']:.1f} times one, {points[-1]['streams']} streams"
            complete = points[-1]["streams"] >= 32
        bars.append(Bar(promise, told, found["holds"] if complete else None, "scaling"))
    return bars


def _others(results: Results) -> list[Bar]:
    promise = "a million frames: memory, threads, files and time per frame as at the beginning"
    soak = results.get("soak")
    if soak is None:
        return [_cold(results), _compare(results), Bar(promise, MISSING, None, "soak")]
    passed = soak.result["passed"]
    change = soak.result["frame_us"]["change_percent"]
    slope = soak.result["memory"]["slope_bytes_per_frame"]
    told = f"time {change:+.1f} %, memory {number(slope, 2)} bytes a frame"
    soaked = Bar(promise, told, all(passed.values()), "soak")
    return [_cold(results), _compare(results), soaked]


def _compare(results: Results) -> Bar:
    promise = "`bench --compare` tells the same from slower, 19 times of 20"
    taken = results.get("compare_power")
    if taken is None:
        return Bar(promise, MISSING, None, "compare_power")
    least, where = min(
        (told["share_right"], f"{name.replace('-', ' ')}, {kind}")
        for name, kinds in taken.result["conditions"].items()
        for kind, told in kinds.items()
    )
    return Bar(promise, f"{percent(least)} at least ({where})", least >= _RIGHT, taken.name)


def _cold(results: Results) -> Bar:
    promise = (
        f"Python's start to the first label, at most {_COLD:g} times NumPy, the interpreter and "
        "the same bytes"
    )
    taken = results.get("cold_start")
    if taken is None:
        return Bar(promise, MISSING, None, "cold_start")
    ratio = taken.result["ratio"]
    return Bar(promise, f"{ratio:.2f} times", ratio <= _COLD, taken.name)
