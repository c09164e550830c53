"""The packaged model, which has only ever seen synthetic scenes, on real clips of the same motions.

    python benchmarks/demo_on_real.py DATA [--card ABOUT] [--json FILE]

DATA has a folder per class of clips. Those whose class the model knows are streamed through it,
each from a reset state; the others, and background, are left out. A clip's answer is the label with
the highest mean probability over its second half, among all labels of the model, and again among
the classes that are there. With ``--card``, the result is written into the model's card with
these words on the clips; ``edgecap info demo --card`` shows it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import record
from edgecap_convert.export.card import PROVENANCE, provenance, set_section

import edgecap
from edgecap.assets import DEMO_MODEL, resolve_model
from edgecap.bundle import read_bundle, write_bundle
from edgecap.dataset import Clip, open_dataset
from edgecap.errors import DataError
from edgecap.streaming import StreamingModel

_PROTOCOLS = ("any_label", "among_the_classes")


def stream(model: StreamingModel, clip: Clip) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Plays a clip, as ``edgecap run`` does.

    Returns:
      Probabilities ``(N, labels)``, and the labels of the events that began.
    """
    frames = clip.read(model.spec.input, model.spec.rate_hz)
    played = model.stream()
    rows, events = [], []
    for image, time_s in zip(frames.images, frames.timestamps_s.tolist(), strict=True):
        prediction = played.step(image, time_s)
        rows.append(prediction.probabilities)
        events += [event.label for event in prediction.events if event.kind == "start"]
    return np.stack(rows), events


def answer(
    probabilities: npt.NDArray[np.float32], labels: Sequence[str], among: Sequence[str]
) -> str:
    """The label with the highest mean over the second half, of those in ``among``."""
    mean = probabilities[len(probabilities) // 2 :].mean(axis=0)
    return max(among, key=lambda label: float(mean[labels.index(label)]))


def measure(data: str) -> dict[str, Any]:
    """Streams every clip of a known class."""
    model = edgecap.load(resolve_model(DEMO_MODEL))
    labels = model.labels
    dataset = open_dataset(data, task="classification")
    known = [
        label
        for label in labels
        if label in dataset.labels and label != model.spec.decision.background
    ]
    if not known:
        raise DataError(
            f"{data}: no class that the model knows ({', '.join(labels)}); found "
            f"{', '.join(dataset.labels)}"
        )
    clips = [clip for clip in dataset.clips if clip.label in known]
    free: list[tuple[str, str]] = []
    restricted: list[tuple[str, str]] = []
    right_events = wrong_events = clips_with_right = clips_with_any = 0
    frames = 0
    for clip in clips:
        probabilities, events = stream(model, clip)
        frames += len(probabilities)
        free.append((clip.label, answer(probabilities, labels, labels)))
        restricted.append((clip.label, answer(probabilities, labels, known)))
        right = events.count(clip.label)
        right_events += right
        wrong_events += len(events) - right
        clips_with_right += bool(right)
        clips_with_any += bool(events)
    return {
        "model": model.spec.name,
        "clips": len(clips),
        "clips_of_class": {label: sum(t == label for t, _ in free) for label in known},
        "seconds": round(frames / model.spec.rate_hz, 1),
        "any_label": _figures(free, known, labels),
        "among_the_classes": _figures(restricted, known, known),
        "events": {
            "right": right_events,
            "wrong": wrong_events,
            "clips_with_a_right_event": clips_with_right,
            "clips_with_any_event": clips_with_any,
        },
    }


def _figures(
    answers: Sequence[tuple[str, str]], known: Sequence[str], among: Sequence[str]
) -> dict[str, Any]:
    counts = Counter(answers)
    return {
        "labels": len(among),
        "chance": round(1 / len(among), 4),
        "accuracy": round(sum(truth == said for truth, said in answers) / len(answers), 4),
        "confusion": {
            truth: {said: counts[truth, said] for said in among if counts[truth, said]}
            for truth in known
        },
    }


def describe(result: dict[str, Any], about: str) -> str:
    """The section of the card, with some words on what the clips are."""
    free, among, events = result["any_label"], result["among_the_classes"], result["events"]
    known = list(result["clips_of_class"])
    silent = result["clips"] - events["clips_with_any_event"]
    answers: Counter[str] = Counter()
    for row in free["confusion"].values():
        answers.update(row)
    usual, times = answers.most_common(1)[0]
    rows = [
        [truth, *(str(among["confusion"][truth].get(said, 0)) for said in known)] for truth in known
    ]
    return "\n".join(
        [
            f"It was trained on synthetic scenes only. On {result['clips']} real clips of the "
            f"classes {', '.join(known)} ({about}; none of them was trained on), streamed frame by "
            "frame, it is right in",
            "",
            f"* {free['accuracy'] * 100:.1f} % where it may give any of its {free['labels']} "
            f"labels (chance {free['chance'] * 100:.0f} %; in {times} clips it says {usual}),",
            f"* {among['accuracy'] * 100:.1f} % among these {len(known)} alone (chance "
            f"{among['chance'] * 100:.0f} %).",
            "",
            f"Events: {events['right']} right and {events['wrong']} wrong; in {silent} clips none. "
            "So it is a demonstration, and no recogniser of real gestures: train on real clips for "
            "those.",
            "",
            "| truth | " + " | ".join(f"said {label}" for label in known) + " |",
            "|" + " --- |" * (len(known) + 1),
            *("| " + " | ".join(row) + " |" for row in rows),
            "",
            "Made by `python benchmarks/demo_on_real.py`.",
        ]
    )


def write_card(result: dict[str, Any], about: str) -> None:
    """Writes the figures into the packaged file; graph, golden outputs and the rest stay."""
    path = resolve_model(DEMO_MODEL)
    bundle = read_bundle(path)
    accuracies = {f"real_clips_{name}": result[name]["accuracy"] for name in _PROTOCOLS}
    recorded: dict[str, Any] = dict(bundle.spec.provenance)
    recorded["metrics"] = recorded["metrics"] | accuracies
    spec = dataclasses.replace(bundle.spec, provenance=recorded)
    card = set_section(bundle.card, "On real clips", describe(result, about))
    card = set_section(card, PROVENANCE, provenance(spec))
    write_bundle(path, model=bundle.model, spec=spec, golden=bundle.golden, card=card)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("data", help="a folder per class of clips")
    parser.add_argument(
        "--card", metavar="ABOUT", help="write the result into the model's card; what the clips are"
    )
    arguments = parser.parse_args()
    result = measure(arguments.data)
    if arguments.card:
        write_card(result, arguments.card)
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
