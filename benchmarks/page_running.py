"""The page's sections on running it: many streams, the gate, the live loop, long runs."""

from __future__ import annotations

from page_data import MISSING, Results, percent, table, time_us, verdict
from page_pictures import ACCENT, GREEN, MUTED, WARM, Picture, titled

Pictures = dict[str, Picture]


def streams(results: Results, pictures: Pictures) -> str:
    """Eight streams on one model: several models, memory, the same bytes, batching."""
    taken = results.get("streams")
    if taken is None:
        return results.not_taken("streams", "python benchmarks/streams.py")
    rows = [
        [
            found["model"],
            found["input"],
            time_us(found["cost"]["one_stream_us"]),
            time_us(found["cost"]["eight_streams_us"]),
            f"{found['cost']['ratio']:.3f}",
            f"{found['memory']['kb_per_further_stream']:g} kB",
            "yes" if found["equal_to_separate_runs"] else "**no**",
            f"{found['batching']['ratio']:.3f}",
        ]
        for found in taken.result
    ]
    heads = [
        "model",
        "input",
        "a step of one",
        "a step of eight",
        "ratio",
        "a further stream",
        "bytes of separate runs",
        "encoding 8 at once",
    ]
    return "\n".join(
        [
            table(heads, rows),
            "",
            "Processor time. The last column: eight images at once beside one at a time; below 1 "
            "it would pay.",
            "",
            taken.origin,
        ]
    )


def gate(results: Results, pictures: Pictures) -> str:
    """What the gate saves in front of still scenes, and what it costs in accuracy."""
    taken = results.get("gate")
    if taken is None:
        return results.not_taken("gate", "python benchmarks/gate.py")
    still = taken.result["still"]
    picture = Picture(8.2, 3.0, still)
    axes = picture.axes()
    for (name, found), colour in zip(still.items(), (ACCENT, WARM, GREEN), strict=False):
        shares = [each["encoded_share"] * 100 for each in found["scenes"].values()]
        times = [each["times_less"] for each in found["scenes"].values()]
        label = f"{name}, {found['input'].split(' ')[0]}"
        axes.plot(shares, times, "o", markersize=6, alpha=0.75, color=colour, label=label)
    axes.axhline(1, color=MUTED, linewidth=0.9, linestyle=":")
    axes.set_xlim(0)
    axes.set_ylim(0)
    axes.set_xlabel("frames that are encoded, %")
    axes.set_ylabel("times less processor time")
    axes.legend(frameon=False, fontsize=8.5)
    pictures["gate"] = picture
    rows = [
        [
            name,
            each["material"].replace("_", " "),
            "no gate" if each["threshold"] is None else f"{each['threshold']:g}",
            percent(each["accuracy"]),
            f"{each['points_lost']:g}",
            percent(each["encoded_share"]),
        ]
        for name, found in taken.result["accuracy"].items()
        for each in found["of"]
    ]
    heads = ["task", "material", "threshold", "accuracy", "points lost", "frames encoded"]
    return "\n".join(
        [
            "![What the gate saves](benchmarks/gate.svg)",
            "",
            "Each point is a scene before a camera that stands still: a recorded one, played to "
            "and fro, or one frame with noise. Least is saved where the recording moves most.",
            "",
            table(heads, rows, left=3),
            "",
            taken.origin,
        ]
    )


def live(results: Results, pictures: Pictures) -> str:
    """From the camera's process to the sink."""
    taken = results.get("latency")
    if taken is None:
        return results.not_taken("latency", "python benchmarks/latency.py")
    found = taken.result
    rows = [
        [n, *(f"{v[p]:.2f} ms" for p in ("p50_ms", "p99_ms"))] for n, v in found["parts"].items()
    ]
    rows.append(["whole loop", *(f"**{found['loop'][p]:.2f} ms**" for p in ("p50_ms", "p99_ms"))])
    overlap = found["overlap"]
    return "\n".join(
        [
            f"{found['model']}, camera {found['camera']}, {found['frames']} frames: from the "
            "frame's timestamp in the camera's process to the call of a sink.",
            "",
            table(["part, alone at the same pace", "p50", "p99"], rows),
            "",
            f"Decoding of {overlap['capture_ms']:g} ms and inference of "
            f"{overlap['inference_ms']:g} ms take {overlap['both_side_by_side_ms']:g} ms a frame "
            f"together: {overlap['share_of_the_sum']:.2f} of their sum.",
            "",
            taken.origin,
        ]
    )


def long_runs(results: Results, pictures: Pictures) -> str:
    """The soak: memory and time per frame to the end."""
    taken = results.get("soak")
    if taken is None:
        return results.not_taken("soak", "python benchmarks/soak.py")
    found = taken.result
    series = found["series"]
    picture = Picture(8.2, 2.5, series)
    memory, times = picture.axes(1, 2)
    frames = [value / 1e6 for value in series["frames"]]
    memory.plot(frames, [value / 1e6 for value in series["memory"]], color=ACCENT)
    memory.set_ylim(0, max(series["memory"]) / 1e6 * 1.2)
    titled(memory, "Resident memory, MB")
    times.plot(frames, series["frame_us"], color=ACCENT, label="frame, through the pipeline")
    times.plot(frames, series["bare_us"], color=WARM, label="bare step, in between")
    times.set_ylim(0)
    titled(times, "Time per frame, µs")
    times.legend(frameon=False, fontsize=8, loc="lower left")
    for axes in (memory, times):
        axes.axvline(found["warm_up_frames"] / 1e6, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_xlabel("million frames")
    pictures["soak"] = picture
    low, high = found["memory"]["interval_95"]
    rows = [
        [
            "memory",
            f"{found['memory']['first_mb']} MB",
            f"{found['memory']['last_mb']} MB",
            f"{found['memory']['slope_bytes_per_frame']:.4f} bytes a frame "
            f"({low:.4f} to {high:.4f})",
            verdict(found["passed"]["memory"]),
        ]
    ]
    for name in ("threads", "files"):
        each = found[name]
        rows.append(
            [
                name,
                f"{each['first_tenth']:g}",
                f"{each['last_tenth']:g}",
                f"{each['least']:g} to {each['most']:g}",
                verdict(found["passed"][name]),
            ]
        )
    each = found["frame_us"]
    rows.append(
        [
            "time per frame",
            time_us(each["first_tenth"]),
            time_us(each["last_tenth"]),
            f"{each['change_percent']:+.2f} %",
            verdict(found["passed"]["time"]),
        ]
    )
    return "\n".join(
        [
            "![Memory and time over a long run](benchmarks/soak.svg)",
            "",
            f"{found['frames']:,} frames, the first {found['warm_up_frames']:,} of them to warm up "
            "(the dotted line), with JSON lines and the flight recorder on.",
            "",
            table(["", "first tenth", "last tenth", "change", "bar"], rows),
            "",
            taken.origin,
        ]
    )


def resizing(results: Results, pictures: Pictures) -> str:
    """What each way to resize costs, and how many clips a model trained with one gets right."""
    taken = results.get("resize")
    if taken is None:
        return results.not_taken("resize", "python benchmarks/resize.py FOLDS DATA")
    costs, answers = taken.result["cost_us"], taken.result["answers"]
    names = list(next(iter(costs.values())))
    rows = [
        [
            name.replace("_", " "),
            *(time_us(found[name]) for found in costs.values()),
            percent(answers[name]["accuracy"]) if name in answers else MISSING,
        ]
        for name in names
    ]
    heads = ["way", *(f"to {size}" for size in costs), f"right of {answers['clips']} clips"]
    trained = taken.result["trained_with"]
    return "\n".join(
        [
            f"From {taken.result['from']}, one thread. `linear rows` is what edgecap does: the "
            "same bytes as `linear`, of fewer rows where a whole odd number of them falls on one. "
            f"The clips are of the gestures' folds, answered by int8 models trained with "
            f"`{trained}`; a model trained with another way might do better with it, which was not "
            "tried.",
            "",
            table(heads, rows),
            "",
            taken.origin,
        ]
    )


def startup(results: Results, pictures: Pictures) -> str:
    """Import, help, and what a step costs beyond the interpreter."""
    text = []
    taken = results.get("cold_start")
    if taken is not None:
        found = taken.result
        rows = [
            ["NumPy, the interpreter, and building it on the same bytes", "parts_ms"],
            ["edgecap to the first label, all checks passed", "edgecap_ms"],
        ]
        told = [[name, f"{found[key]:.0f} ms"] for name, key in rows]
        text += [
            table([f"a new process, median of {found['runs']}", ""], told),
            "",
            f"{found['ratio']:.2f} times (10 to 90 % of the pairs: {found['ratio_p10']:.2f} to "
            f"{found['ratio_p90']:.2f}).",
            "",
            taken.origin,
            "",
        ]
    taken = results.get("startup")
    if taken is not None:
        found = taken.result["median_seconds"]
        rows = [[name.replace("_", " "), f"{value * 1e3:.1f} ms"] for name, value in found.items()]
        text += [table(["process, start to end", "median"], rows), "", taken.origin, ""]
    taken = results.get("step_overhead")
    if taken is not None:
        found = taken.result
        text += [
            f"`Stream.step` on a frame of the model's size costs {time_us(found['stream_us'])}, "
            f"the bare interpreter {time_us(found['bare_us'])} on the same bytes: "
            f"{time_us(found['extra_us'])} more, {time_us(found['allowed_us'])} are allowed.",
            "",
            taken.origin,
        ]
    return "\n".join(text).strip() or results.not_taken("startup", "python benchmarks/startup.py")
