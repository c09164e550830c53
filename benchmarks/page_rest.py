"""The page's other sections: accuracy, training, machines, and what is not known."""

from __future__ import annotations

from typing import Any

from page_data import MISSING, Results, Taken, between, number, percent, table
from page_pictures import dots

Pictures = dict[str, Any]


def accuracy(results: Results, pictures: Pictures) -> str:
    """Cross-validated accuracy of each recipe, and the other tasks."""
    recipes = {
        taken.result["data"]: taken
        for taken in (results.get("recipes_gestures"), results.get("recipes_fights"))
        if taken is not None
    }
    text: list[str] = []
    if recipes:
        panels = [
            (
                f"{name}, {taken.result['clips']} clips",
                [
                    {
                        "name": form,
                        "value": told["accuracy"] * 100,
                        "low": told["interval"][0] * 100,
                        "high": told["interval"][1] * 100,
                        "own": form == "float",
                    }
                    for form, told in taken.result["forms"].items()
                ],
            )
            for name, taken in recipes.items()
        ]
        pictures["accuracy"] = dots(panels, label="clips that are right, %")
        text += ["![Accuracy by recipe](benchmarks/accuracy.svg)", ""]
    rows = _crossvalidated(results)
    if rows:
        text += [table(["task", "int8", "95 %", "float", "clips", "protocol", "result"], rows), ""]
    text += [f"* {taken.origin}" for taken in recipes.values()]
    more = _other_tasks(results)
    if more:
        text += ["", table(["task", "figure", "float", "int8", "result"], more)]
    return "\n".join(text) or results.not_taken("gestures", "python benchmarks/cross_validation.py")


def _crossvalidated(results: Results) -> list[list[Any]]:
    rows = []
    for name in ("gestures", "fights_grouped", "fights_random"):
        taken = results.get(name)
        if taken is None:
            continue
        found = taken.result
        rows.append(
            [
                name.replace("_", ", "),
                percent(found["int8"]["accuracy"]),
                between([100 * v for v in found["int8"]["accuracy_interval"]], 1),
                percent(found["float"]["accuracy"]),
                found["int8"]["segments"],
                found["protocol"].split(";")[0],
                _link(taken),
            ]
        )
    return rows


def _other_tasks(results: Results) -> list[list[Any]]:
    rows: list[list[Any]] = []
    if taken := results.get("end_to_end"):
        fresh = taken.result["fresh_scenes"]
        told = [percent(fresh[form]["accuracy"]) for form in ("float", "int8")]
        rows.append(["synthetic gestures, new scenes", "accuracy", *told, _link(taken)])
    if taken := results.get("slices"):
        found = taken.result["new_patients"]
        told = [percent(found[form]["accuracy"]) for form in ("float", "int8")]
        rows.append(["slices, new patients", "accuracy", *told, _link(taken)])
    if taken := results.get("steering"):
        found = taken.result
        for name in ("lstm", "without_lstm"):
            told = [number(found[name][f"mean_mse_{form}"]) for form in ("float", "int8")]
            rows.append([f"steering, {name.replace('_', ' ')}", "MSE", *told, _link(taken)])
        ridge = number(found["baselines"]["ridge_on_single_frames"])
        rows.append(["steering, ridge on frames", "MSE", ridge, MISSING, _link(taken)])
    if taken := results.get("demo_on_real"):
        told = percent(taken.result["among_the_classes"]["accuracy"])
        chance = percent(taken.result["among_the_classes"]["chance"], 0)
        rows.append(
            ["demo model on real clips", f"accuracy (chance {chance})", MISSING, told, _link(taken)]
        )
    return rows


def training(results: Results, pictures: Pictures) -> str:
    """Frames a second by stage, seconds by recipe, features from the cache, memory."""
    text: list[str] = []
    taken = results.get("throughput")
    if taken is None:
        text.append(results.not_taken("throughput", "python benchmarks/throughput.py"))
    else:
        found = taken.result
        stages = found["training"]["stages"] | {"qat": found["conversion"]["qat"]}
        rows = [
            [
                name,
                f"{told['batch']} × {told['frames_a_clip']}",
                number(told["steps_per_second"]),
                number(told["clips_per_second"]),
                number(told["frames_per_second"]),
                f"{told['once_seconds']:g} s",
            ]
            for name, told in stages.items()
        ]
        heads = ["stage", "clips × frames a step", "steps/s", "clips/s", "frames/s", "once"]
        text += [f"{found['network']}, on {found['data']}", "", table(heads, rows), ""]
        text += ["`once`: what a stage takes before its steps: tracing, features, validation.", ""]
        rows = [
            [
                name,
                _seconds(told["calibrate_seconds"]),
                _seconds(told["convert_seconds"]),
                f"{told['kb']:,.0f} kB",
            ]
            for name, told in found["conversion"]["recipes"].items()
        ]
        text += [table(["recipe", "ranges", "conversion", "file"], rows), "", taken.origin]
    if cached := results.get("features"):
        faster = cached.result["times_faster"]["median"]
        text += ["", f"A step on cached features is {faster:g} times as fast as one through the "]
        text[-1] += f"encoder. {cached.origin}"
    if memory := results.get("memory"):
        small, large = (memory.result[name] for name in ("small", "large"))
        text += [
            "",
            f"Training on {large['decoded_gb']:g} GB of decoded frames takes "
            f"{large['peak_resident_gb']:g} GB of memory at most, on {small['decoded_gb']:g} GB "
            f"{small['peak_resident_gb']:g} GB. {memory.origin}",
        ]
    return "\n".join(text)


def _seconds(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f} s"


def emulated(results: Results, pictures: Pictures) -> str:
    """Bytes on an emulated Pi; never times."""
    taken = results.get("emulated_pi")
    if taken is None:
        return results.not_taken("emulated_pi", "python benchmarks/emulated_pi.py demo")
    rows = [
        [
            told["model"],
            told["recipe"],
            told["cpu"],
            told["frames"],
            "yes" if told["equal"] else f"no, from frame {told['first_difference']} on",
            percent(told["same_answers"], 1),
            "passed" if told["golden"]["passed"] else "**failed**",
        ]
        for told in taken.result["models"]
    ]
    heads = ["model", "recipe", "as", "frames", "bytes of x86-64", "same answers", "verify"]
    return "\n".join(
        [
            f"An arm64 Debian under {taken.result['emulator']['qemu'].split(' (')[0]}. The "
            "emulator says what a Pi computes, and nothing about how fast.",
            "",
            table(heads, rows, left=3),
            "",
            taken.origin,
        ]
    )


def machines(results: Results, pictures: Pictures) -> str:
    """What was taken where; the index names machines by these letters."""
    taken = list(results.all.values())
    rows = [
        [letter, name, sum(each.machine == name for each in taken)]
        for name, letter in _letters(results).items()
    ]
    return table(["", "machine", "results"], rows, left=2)


def _letters(results: Results) -> dict[str, str]:
    names = dict.fromkeys(taken.machine for taken in results.all.values())
    return {name: chr(ord("A") + number) for number, name in enumerate(names)}


def index(results: Results, pictures: Pictures) -> str:
    """Every result with its command."""
    letters = _letters(results)
    rows = [
        [
            _link(taken),
            f"`{taken.command}`",
            letters[taken.machine],
            taken.environment.get("python", MISSING),
            taken.environment.get("versions", {}).get("ai-edge-litert", MISSING),
            MISSING if taken.load is None else f"{taken.load:g}",
        ]
        for taken in results.all.values()
    ]
    heads = ["result", "command", "machine", "Python", "LiteRT", "load"]
    return table(heads, rows, left=3)


def unknown(results: Results, pictures: Pictures) -> str:
    """What cannot be read off these results."""
    told = []
    if not any(taken.on_a_pi for taken in results.all.values()):
        told.append(
            "**Speed on a Raspberry Pi or a phone.** No figure here was taken on one. The bytes "
            "are known (above, emulated); times, temperatures and throttling are not. "
            "`edgecap bench MODEL` measures them there."
        )
    kinds = {taken.environment.get("machine") for taken in results.all.values()}
    if len(kinds) == 1:
        told.append(f"**Other processors.** All results are from {next(iter(kinds))}.")
    cores = max(int(taken.environment.get("cores") or 1) for taken in results.all.values())
    told.append(f"**More threads than cores here.** No machine had more than {cores} cores.")
    disturbed = [
        f"{_link(taken)} ({', '.join(taken.environment['disturbed'])})"
        for taken in results.all.values()
        if taken.environment.get("disturbed")
    ]
    if disturbed:
        told.append(f"**What these would be undisturbed:** {', '.join(disturbed)}.")
    busy = [
        _link(taken)
        for taken in results.all.values()
        if taken.load is not None and taken.load > 2 * float(taken.environment.get("cores") or 1)
    ]
    if busy:
        told.append(
            "**Times from a machine with other work to do.** More than twice as many processes as "
            f"cores wanted to run when these were written: {', '.join(busy)}. Ratios that were "
            "taken in turns hold; single times may be too long."
        )
    told.append("**Energy.** Nothing here measures what a frame costs in joules.")
    return "\n".join(f"* {each}" for each in told)


def instructions(results: Results, pictures: Pictures) -> str:
    """Instructions per frame, which do not depend on the machine's mood."""
    taken = results.get("instructions")
    if taken is None:
        return results.not_taken("instructions", "python benchmarks/instructions.py")
    counts = taken.result["counts"]
    rows = [
        [
            name.replace("_", " "),
            *(f"{number(each['held'][name]['instructions'], 4)}" for each in counts),
            number(told["yardsticks"]),
            percent(taken.result.get("environments_apart", {}).get(name), 0),
        ]
        for name, told in counts[0]["held"].items()
    ]
    heads = ["of a frame, in Python and NumPy"]
    heads += [f"Python {each['environment']['python']}" for each in counts]
    return "\n".join(
        [
            "Counted under valgrind: the same to the instruction on a busy machine. `step` is "
            "`Stream.step` on a frame of the model's size beyond set, invoke and get; "
            "`camera step` on one of 640×480, beyond the resize too. A yardstick is fixed work "
            "counted beside, by which another Python can be held to the same figure.",
            "",
            table([*heads, "yardsticks", "environments apart"], rows),
            "",
            taken.origin,
        ]
    )


def compare(results: Results, pictures: Pictures) -> str:
    """How often ``edgecap bench --compare`` is right."""
    taken = results.get("compare_power")
    if taken is None:
        return results.not_taken("compare_power", "python benchmarks/compare_power.py")
    slowed = f"slowed by {taken.result['slowed_by'] * 100:g} %"
    rows = [
        [
            name.replace("-", " "),
            {"same": "the same", "slowed": slowed}.get(kind, kind),
            told["expected"],
            f"{told['right']} of {told['pairs']}",
            f"{told['opposite']} of {told['pairs']}",
            f"{told['ratio_median']:.3f}",
        ]
        for name, kinds in taken.result["conditions"].items()
        for kind, told in kinds.items()
    ]
    heads = ["machine", "second run", "expected", "said", "the opposite", "ratio, median"]
    return "\n".join(
        [
            f"Pairs of runs of {taken.result['seconds_of_a_run']:g} s, each in a process of its "
            "own. What is neither said nor its opposite is told as: cannot tell.",
            "",
            table(heads, rows, left=3),
            "",
            taken.origin,
        ]
    )


def _link(taken: Taken) -> str:
    return f"[{taken.name}](../benchmarks/results/{taken.name}.json)"
