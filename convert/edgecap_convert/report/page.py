"""The page: from results to one HTML file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgecap.durable import write_atomically
from edgecap.evaluation import LabelsAnswer, MultiLabelEvaluation
from edgecap_convert.report import cards, sections
from edgecap_convert.report.data import CrossvalData, ReportData
from edgecap_convert.report.digest import Digest
from edgecap_convert.report.formats import form, groups
from edgecap_convert.report.pooling import pool
from edgecap_convert.report.rendering import render

_ANSWER_RULES = {
    "classification": "The answer of a clip is the label with the highest mean probability over "
    "its second half: what happens can be known no sooner.",
    "multilabel": "A label is answered where its mean probability over the clip's second half is "
    "at least one half.",
    "regression": "Every frame has an answer of its own; figures are means over all frames.",
}
_STREAMED = (
    "The model sees the frames one by one, from a reset state at the beginning of each recording, "
    "as it does on the device."
)


def write_report(path: Path, data: ReportData) -> None:
    """Writes the report of one training; all or nothing.

    Raises:
      ModelFileError: the folder does not exist or cannot be written.
    """
    write_atomically(path, render_report(data).encode("utf-8", "replace"))


def write_crossval_report(path: Path, data: CrossvalData) -> None:
    """Writes the report of a cross-validation; all or nothing.

    Raises:
      ModelFileError: the folder does not exist or cannot be written.
    """
    write_atomically(path, render_crossval(data).encode("utf-8", "replace"))


def render_report(data: ReportData) -> str:
    """The page of one training."""
    found = _digest(data)
    evaluation = data.metrics[data.main_part]
    return render(
        "run.html",
        data=data,
        facts=sections.facts(data),
        cards=cards.cards(data.task, evaluation, data.seconds),
        figures=sections.parts_table(data.metrics),
        part=data.main_part,
        result=sections.result(data, evaluation, found),
        clips=sections.clips(data, found),
        stages=sections.stages(data.histories),
        split=sections.split(data.split, data.labels),
        settings=groups(data.settings),
        provenance=groups(data.provenance),
        rules=[data.answer_rule or _ANSWER_RULES[data.task], _STREAMED, *data.notes],
    )


def render_crossval(data: CrossvalData) -> str:
    """The page of a cross-validation."""
    first = data.folds[0]
    evaluations = [fold.metrics[fold.main_part] for fold in data.folds]
    names = list(data.fold_names) or [str(n) for n in range(1, len(data.folds) + 1)]
    found = Digest(first.task, first.labels)
    for fold in data.folds:
        found.merge(_digest(fold))
    pooled = pool(evaluations)
    if first.task == "multilabel" and found.scores:
        pooled |= _pool_labels(found)
    delays = [delay for fold in data.folds for delay in fold.delays_s]
    joint: dict[str, Any] = {**pooled, "events": sections.joint_events(evaluations)}
    skipped = data.skipped or _distinct(entry for fold in data.folds for entry in fold.skipped)
    return render(
        "crossval.html",
        data=data,
        skipped=skipped,
        task=first.task,
        labels=first.labels,
        protocol=data.protocol,
        cards=cards.crossval_cards(first.task, pooled, data.seconds),
        folds=sections.parts_table(dict(zip(names, evaluations, strict=True))),
        mean={name: form(name, value) for name, value in pooled["mean"].items()},
        sd={name: form(name, value) for name, value in pooled["sd"].items()},
        result=sections.result(first, joint, found, delays_s=delays),
        clips=sections.clips(first, found),
        stages=[
            (name, sections.stages(fold.histories))
            for name, fold in zip(names, data.folds, strict=True)
            if fold.histories
        ],
        splits=[
            (name, sections.split(fold.split, fold.labels))
            for name, fold in zip(names, data.folds, strict=True)
            if fold.split
        ],
        settings=groups(data.settings or first.settings),
        provenance=groups(data.provenance or first.provenance),
        rules=[first.answer_rule or _ANSWER_RULES[first.task], _STREAMED, *data.notes],
    )


def _digest(data: ReportData) -> Digest:
    if isinstance(data.clips, Digest):
        return data.clips
    found = Digest(data.task, data.labels)
    for clip in data.clips:
        found.add(clip)
    return found


def _pool_labels(found: Digest) -> dict[str, Any]:
    answers = (
        LabelsAnswer(
            "",
            0,
            0,
            truth,
            tuple(label for label, p in zip(found.labels, scores, strict=True) if p >= 0.5),
            scores,
        )
        for truth, scores in zip(found.truths, found.scores, strict=True)
    )
    return MultiLabelEvaluation(found.labels, tuple(answers)).to_dict()


def _distinct(entries: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(entries))
