"""The page's sections on speed: where a frame's time goes, and how it grows."""

from __future__ import annotations

from typing import Any

from page_data import (
    Results,
    Taken,
    between,
    count,
    number,
    percent,
    table,
    time_us,
    verdict,
)
from page_pictures import MUTED, WARM, Picture, curve, small, stacked

Pictures = dict[str, Picture]
_STAGES = ("preprocess", "set", "invoke", "get", "post")
_CURVES = {
    "length": ("frames", "One stream, by its length", "frames so far"),
    "streams": ("streams", "Streams on one model", "streams"),
    "size": ("size", "Input size", "pixels a side"),
    "alpha": ("alpha", "Width of the encoder", "α of MobileNetV2"),
    "units": ("units", "Width of the LSTM", "units"),
    "attention": ("attention", "Attention", "frames looked back on"),
}


def benches(results: Results) -> list[Taken]:
    """Documents of ``edgecap bench``."""
    return [taken for taken in results.starting("bench_") if "closed" in taken.result]


def stage_times(found: dict[str, Any]) -> dict[str, float]:
    """Median of each stage, µs; the mean where there were too few for a median."""
    stages = found["closed"]["stages"]
    return {s: stages[s]["p50_us"] or stages[s]["mean_us"] for s in _STAGES if s in stages}


def _threaded(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def where(results: Results, pictures: Pictures) -> str:
    """Stages of a step, cold start, memory, and the live loop."""
    taken = benches(results)
    if not taken:
        return results.not_taken(
            "bench_demo", "edgecap bench demo --json benchmarks/results/bench_demo.json"
        )
    rows, parts = [], []
    for each in taken:
        found = each.result
        stages = {
            s: found["closed"]["stages"][s] for s in _STAGES if s in found["closed"]["stages"]
        }
        p50 = {s: told["p50_us"] or told["mean_us"] for s, told in stages.items()}
        name = f"{found['model']['name']}, {_threaded(found['runtime']['threads'])}"
        parts.append((name, p50))
        around = sum(value for stage, value in p50.items() if stage != "invoke")
        whole = found["closed"]["whole"]
        rows.append(
            [
                name,
                found["closed"]["frame"],
                time_us(whole["p50_us"]),
                time_us(whole["p99_us"]),
                *(time_us(p50.get(stage)) for stage in _STAGES),
                percent(around / p50["invoke"]),
                number(found["closed"]["fps"]),
            ]
        )
    pictures["stages"] = stacked(parts, label="µs a frame, median of each stage")
    text = ["![The stages of a frame](benchmarks/stages.svg)", ""]
    heads = ["model", "frames", "step p50", "p99", *_STAGES, "around invoke", "frames/s"]
    text += [table(heads, rows), ""]
    text += [
        "`preprocess` has the resize from the camera's size in it. `around invoke` is all that is "
        "not the graph, beside the graph.",
        "",
    ]
    more = [_more(each) for each in taken]
    heads = [
        "model",
        "Python alone",
        "+ import",
        "+ load",
        "+ first answer",
        "process in all",
        "memory, steady",
        "peak",
        "multiply-adds",
        "share of peak",
        "last/first",
    ]
    text += [table(heads, more), ""]
    live = [_live(each) for each in taken if each.result.get("open")]
    if live:
        heads = ["model", "camera", "given", "answered", "dropped", "age p50", "p99", "missed"]
        text += ["A camera that does not wait (open loop):", "", table(heads, live), ""]
    return "\n".join([*text, *(f"* {each.origin}" for each in taken)])


def _more(taken: Taken) -> list[Any]:
    found = taken.result
    cold, compute, memory = found.get("cold"), found["compute"], found["memory"]
    started = [None] * 5
    if cold:
        names = ("python_ms", "import_ms", "load_ms", "first_ms", "total_ms")
        started = [time_us(cold[name] * 1e3) for name in names]
    held = [None if memory[n] is None else f"{memory[n]:.0f} MB" for n in ("steady_mb", "peak_mb")]
    share = percent(compute["share"], 0)
    steady = found["steady"]["ratio"]
    return [found["model"]["name"], *started, *held, count(compute["macs"]), share, f"{steady:.3f}"]


def _live(taken: Taken) -> list[Any]:
    found = taken.result["open"]
    return [
        taken.result["model"]["name"],
        f"{found['source']}, {found['camera_hz']:g} Hz",
        *(found[name] for name in ("given", "answered", "dropped")),
        time_us(found["age"]["p50_us"]),
        time_us(found["age"]["p99_us"]),
        f"{found['missed']} of {found['answered']}",
    ]


def growth(results: Results, pictures: Pictures) -> str:
    """The curves of ``benchmarks/scaling.py`` as small multiples, and their figures."""
    taken = results.get("scaling")
    if taken is None:
        return results.not_taken("scaling", "python benchmarks/scaling.py")
    curves = taken.result["curves"]
    shown = [name for name in _CURVES if name in curves]
    if shown:
        pictures["growth"] = _multiples({name: curves[name] for name in shown})
    text = ["![How the cost of a frame grows](benchmarks/growth.svg)", ""]
    text += [
        "Each point beside its curve's first one, in blocks that alternate in a new order each "
        "round: medians of the rounds' ratios, the band is where they lie 95 of 100 times.",
        "",
    ]
    for name in ("length", "streams"):
        if name in curves:
            text += [*_one_model(name, curves[name]), ""]
    if "threads" in curves:
        text += [_threads(curves["threads"]), ""]
    networks = [name for name in ("size", "alpha", "units", "attention") if name in curves]
    if networks:
        text += [
            "Untrained networks, converted to int8 like trained ones; what is not said is as in "
            f"{curves[networks[0]]['others']}:",
            "",
        ]
        heads = ["network", "graph", "whole step", "beside the first", "95 %", "multiply-adds"]
        rows: list[list[Any]] = []
        for name in networks:
            key, title, _ = _CURVES[name]
            for point in curves[name]["points"]:
                rows.append(
                    [
                        f"{title[0].lower()}{title[1:]} {point[key]:g}",
                        time_us(point["invoke"]["us"]),
                        time_us(point["us"]),
                        f"× {point['ratio']:.2f}",
                        between(point["ratio_95"], 2),
                        count(point["macs"]),
                        f"{point['kb']:,.0f} kB",
                    ]
                )
        text += [table([*heads, "file"], rows), ""]
    return "\n".join([*text, taken.origin])


def _multiples(curves: dict[str, Any]) -> Picture:
    names = list(curves)
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    picture = Picture(8.6, 0.35 + 2.35 * lines, curves)
    grid = picture.axes(lines, columns, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        key, title, label = _CURVES[name]
        points = curves[name]["points"]
        x = [point[key] for point in points]
        log = name in ("length", "streams", "units")
        small(axes, title, label, x=x, log=log)
        if name in ("length", "streams"):
            ratios = [point["ratio"] for point in points]
            curve(axes, x, ratios, band=[p["ratio_95"] for p in points], name="on the clock")
            cpu = [point["cpu_ratio"] for point in points]
            curve(axes, x, cpu, colour=WARM, name="in processor time")
            axes.legend(frameon=False, fontsize=7.5, loc="lower left")
            beside = "a new stream" if name == "length" else "one stream"
            axes.set_ylabel(f"a step, beside {beside}")
            if name == "length":
                axes.axhspan(0.98, 1.02, color=MUTED, alpha=0.10, linewidth=0)
                place = (x[-1], 1.0195)
                axes.annotate("± 2 %", place, ha="right", va="top", fontsize=7.5, color=MUTED)
            else:
                axes.axhline(1, color=MUTED, linewidth=0.9, linestyle=":")
            reach = max(0.05, *(abs(ratio - 1) * 1.3 for ratio in (*ratios, *cpu)))
            axes.set_ylim(1 - reach, 1 + reach)
        else:
            curve(axes, x, [point["us"] for point in points], name="whole step")
            graph = [point["invoke"]["us"] for point in points]
            curve(axes, x, graph, colour=WARM, name="graph alone")
            axes.set_ylabel("µs")
            axes.set_ylim(0, max(point["us"] for point in points) * 1.12)
            axes.legend(frameon=False, fontsize=7.5, loc="lower right")
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    return picture


def _one_model(name: str, found: dict[str, Any]) -> list[str]:
    key, _, label = _CURVES[name]
    first = "a new stream" if name == "length" else "one stream"
    heads = [label, "step", "processor", f"beside {first}", "95 %", "in processor time"]
    rows = [
        [
            f"{point[key]:,}",
            time_us(point["us"]),
            time_us(point["cpu_us"]),
            f"{point['ratio']:.4f}",
            between(point["ratio_95"], 4),
            f"{point['cpu_ratio']:.4f}",
        ]
        for point in found["points"]
    ]
    told = [table(heads, rows), "", f"The bar, {found['bar']}: {verdict(found['holds'])}."]
    apart = found.get("models_of_their_own")
    if apart:
        told[-1] += (
            f" As many models with a stream each cost {apart['ratio']:.2f} times as much a step "
            f"({between(apart['ratio_95'], 2)})."
        )
    if found.get("memory"):
        kept = found["memory"]["kb_per_further_stream"]
        told[-1] += f" Each further stream takes {number(kept)} kB."
    return told


def _threads(found: dict[str, Any]) -> str:
    rows = [
        [
            p["model"],
            p["threads"],
            time_us(p["us"]),
            time_us(p["cpu_us"]),
            f"× {1 / p['ratio']:.2f}",
        ]
        for p in found["points"]
    ]
    return table(["model", "threads", "step", "processor", "speed"], rows)
