"""``edgecap evaluate``: figures of a model or a run on labelled recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from edgecap.cli.common import (
    caption_line,
    decision_options,
    gate_option,
    json_option,
    print_json,
    runtime_options,
    signature_option,
    table,
)
from edgecap.dataset.captions import PARTS

if TYPE_CHECKING:
    from edgecap.bundle import Bundle
    from edgecap.decisions import DecisionSpec
    from edgecap.evaluation import (
        AnyEvaluation,
        Evaluation,
        EventScore,
        MultiLabelEvaluation,
        Predictor,
        RegressionEvaluation,
    )


@click.command("evaluate", short_help="Measure a model or a run on labelled recordings.")
@click.argument("model")
@click.argument("data")
@click.option(
    "--network",
    type=click.Choice(["float", "fake-quant"]),
    default="float",
    show_default=True,
    help="Of a run: the trained network, or the fake-quantised one of its conversion.",
)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    default="validation",
    show_default=True,
    help="Of captions: the pictures that are told.",
)
@click.option("--beam", type=click.IntRange(1, 64), help="Of captions.  [default: the model's]")
@gate_option
@json_option
@decision_options
@runtime_options
@signature_option
def command(
    model: str,
    data: str,
    network: str,
    part: str,
    beam: int | None,
    threshold: float | None,
    as_json: bool,
    decide: Callable[..., DecisionSpec],
    public_key: str | None,
    **runtime: Any,
) -> None:
    """Stream the recordings in DATA through MODEL, frame by frame, and score the answers.

    MODEL is a .tflite (needs only the runtime) or a run folder of 'edgecap train' (needs the extra
    'convert'). DATA is a folder or manifest of recordings whose truth is of the model's task, or
    synthetic scenes that no training has seen.

    A captioning model tells the pictures of a --part of DATA (a folder as Flickr8k comes, or a CSV
    file) and is scored by BLEU, ROUGE-L and CIDEr-D; needs the extra 'captions'.

    \b
    Examples:
      edgecap evaluate gestures.tflite clips/
      edgecap evaluate demo synthetic:seed=3,gestures=400 --json
      edgecap evaluate demo synthetic: --enter 0.7 --label left:enter=0.8,leave=0.5
      edgecap evaluate runs/gestures clips/
      edgecap evaluate gestures.tflite clips/ --gate
      edgecap evaluate captions.tflite flickr8k/ --part validation
    """
    from edgecap.assets import resolve_model
    from edgecap.evaluation import evaluate, gated_predictor, model_predictor, ungated_predictor
    from edgecap.gate import SceneGate
    from edgecap.recordings import open_recordings

    path = resolve_model(model)
    gate = SceneGate(threshold) if threshold is not None else None
    gated = ungated = None
    if path.is_dir():
        if public_key is not None:
            raise click.UsageError("--require-signature is for a .tflite: a run is not signed")
        if gate is not None:
            raise click.UsageError("--gate is for a .tflite: a run is not streamed in two parts")
        from edgecap.extras import require_convert

        runs = require_convert("edgecap_convert.training.runs", "to evaluate a run")
        quantized = network == "fake-quant"
        spec_parts, predict = runs.open_for_evaluation(path, quantized=quantized)
        what = f"{model} ({network})"
    else:
        from edgecap.opening import open_bundle
        from edgecap.streaming import StreamingModel

        bundle = open_bundle(path, public_key=public_key, probe=True, **runtime)
        if bundle.spec.caption is not None:
            if gate is not None:
                raise click.UsageError("--gate is not for captioning models")
            _evaluate_captions(bundle, data, part=part, beam=beam, as_json=as_json, **runtime)
            return
        loaded = StreamingModel(bundle, **runtime)
        spec_parts = loaded.spec
        predict = model_predictor(loaded)
        if gate is not None:
            # The one without the gate is measured as it runs without one: as a whole.
            predict = ungated = ungated_predictor(loaded)
            gated = gated_predictor(StreamingModel(bundle, **runtime), gate)
        what = f"{loaded.spec.name} ({loaded.spec.recipe}, {loaded.backend})"
    decision = decide(spec_parts.decision, labels=spec_parts.labels, task=spec_parts.task)

    def measure(predictor: Predictor) -> AnyEvaluation:
        measured: AnyEvaluation = evaluate(
            predictor,
            open_recordings(
                data,
                spec=spec_parts.input,
                rate_hz=spec_parts.rate_hz,
                labels=spec_parts.labels,
                task=spec_parts.task,
            ),
            labels=spec_parts.labels,
            decision=decision,
            task=spec_parts.task,
        )
        return measured

    result = measure(predict)
    told = {"model": what, "data": data} | result.to_dict()
    result_gated = None
    if gate is not None and gated is not None and ungated is not None:
        result_gated = measure(gated)
        told["gate"] = dataclasses.asdict(gate) | {
            "without": ungated.usage.to_dict(),
            "with": gated.usage.to_dict() | result_gated.to_dict(),
        }
    if as_json:
        print_json(told)
        return
    click.echo(f"{what} on {data}")
    _tell(told, result, result_gated)


def _tell(told: dict[str, Any], result: AnyEvaluation, gated: AnyEvaluation | None) -> None:
    """Prints the figures, those with a gate beside those without."""
    tell = _TOLD[told["task"]]
    lines, rows = tell(result)
    for line in lines:
        click.echo(line)
    if gated is not None:
        click.echo()
        for line in _tell_gate(told["gate"]) + tell(gated)[0]:
            click.echo(line)
    click.echo()
    click.echo(table(rows))


def _evaluate_captions(
    bundle: Bundle, data: str, *, part: str, beam: int | None, as_json: bool, **runtime: Any
) -> None:
    from edgecap.captioning import CaptionModel
    from edgecap.dataset.captions import of_part, read_captions
    from edgecap.evaluation.captioning import evaluate_captions

    model = CaptionModel(bundle, **runtime)
    found = evaluate_captions(model, of_part(read_captions(data), part), beam=beam)
    scores = found.scores.to_dict()
    what = f"{model.spec.name} ({model.spec.recipe}, {model.backend})"
    if as_json:
        told = {"model": what, "data": data, "part": part, "caption_ms": found.caption_ms}
        print_json(told | scores | {"captions": found.captions})
        return
    click.echo(f"{what} on the {part} part of {data}")
    click.echo(caption_line(scores))
    click.echo(f"a caption takes {found.caption_ms:.1f} ms (median, resizing included)")


def _tell_gate(told: dict[str, Any]) -> list[str]:
    """What the gate did, ahead of the figures with it."""
    on, off = told["with"], told["without"]
    return [
        f"with a gate at {told['threshold']:g} grey levels: {on['encoded']} of {on['frames']} "
        f"frames encoded ({on['encoded_share'] * 100:.1f} %), {on['cpu_ms_per_frame']:.3f} ms of "
        f"processor time a frame instead of {off['cpu_ms_per_frame']:.3f} ms"
    ]


_Told = tuple[list[str], list[list[str]]]


def _tell_classes(result: Evaluation) -> _Told:
    """Lines of figures, and a table with a row per class."""
    lines = [
        f"accuracy {result.accuracy * 100:.1f} % of {result.segments} segments "
        f"({result.end_accuracy * 100:.1f} % by their last frame), "
        f"frame accuracy {result.frame_accuracy * 100:.1f} %",
        f"macro precision {result.macro_precision:.3f}, recall {result.macro_recall:.3f}, "
        f"F1 {result.macro_f1:.3f}",
    ]
    auc, precision = result.roc_auc, result.average_precision
    if auc is not None and precision is not None:
        lines.append(f"{result.positive}: ROC AUC {auc:.3f}, average precision {precision:.3f}")
    if result.events is not None:
        lines += _tell_events(result.events)
    rows = [["class", "precision", "recall", "F1", "segments"]]
    for label, row in result.per_class().items():
        rows.append([label, *_figures(row, "precision", "recall", "f1"), f"{row['support']:.0f}"])
    return lines, rows


def _tell_events(events: EventScore) -> list[str]:
    lines = [
        f"events: {events.recognised} of {events.gestures} gestures recognised "
        f"({events.recall * 100:.1f} %), {events.false} false in {events.seconds:.0f} s "
        f"({events.false_per_hour:.1f} an hour), on background {events.background_false} in "
        f"{events.background_s:.0f} s ({events.background_false_per_hour:.1f} an hour)"
    ]
    median, p95 = events.delay_median_s, events.delay_p95_s
    if median is not None and p95 is not None:
        lines.append(
            f"from a gesture's start to its event: median {median:.2f} s, 95 % within {p95:.2f} s"
        )
    return lines


def _tell_labels(result: MultiLabelEvaluation) -> _Told:
    lines = [
        f"macro F1 {result.macro_f1:.3f}, micro F1 {result.micro_f1:.3f}, "
        f"mAP {result.mean_average_precision:.3f}",
        f"all labels right in {result.exact_match * 100:.1f} % of {result.segments} segments",
    ]
    rows = [["label", "precision", "recall", "F1", "average precision", "segments"]]
    for label, row in result.per_label().items():
        figures = _figures(row, "precision", "recall", "f1", "average_precision")
        rows.append([label, *figures, f"{row['support']:.0f}"])
    return lines, rows


def _tell_values(result: RegressionEvaluation) -> _Told:
    lines = [
        f"MSE {result.mse:.5g}, MAE {result.mae:.5g}, R² {result.r2:.3f} over {result.frames} "
        f"frames of {len(result.answers)} recordings"
    ]
    rows = [["value", "MSE", "MAE", "R²"]]
    for label, row in result.per_value().items():
        rows.append([label, f"{row['mse']:.5g}", f"{row['mae']:.5g}", f"{row['r2']:.3f}"])
    return lines, rows


def _figures(row: dict[str, float], *names: str) -> list[str]:
    return [f"{row[name]:.3f}" for name in names]


_TOLD: dict[str, Callable[[Any], _Told]] = {
    "classification": _tell_classes,
    "multilabel": _tell_labels,
    "regression": _tell_values,
}
