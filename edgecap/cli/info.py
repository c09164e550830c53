"""``edgecap info``: what is inside a model file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from edgecap.cli.common import json_option, print_json, printable, signature_option, table

if TYPE_CHECKING:
    from edgecap.bundle import Bundle


@click.command("info", short_help="Show what is inside a model file.")
@click.argument("model")
@click.option("--card", is_flag=True, help="Show the model card instead.")
@json_option
@signature_option
def command(model: str, card: bool, as_json: bool, public_key: str | None) -> None:
    """Show what is inside MODEL, without running it.

    \b
    Examples:
      edgecap info gestures.tflite
      edgecap info demo --json
      edgecap info demo --card
    """
    from edgecap.assets import resolve_model
    from edgecap.captioning.contract import ENCODE_SUBGRAPH, bind_captions
    from edgecap.contract import bind
    from edgecap.flatbuffer import read_graph
    from edgecap.opening import open_bundle

    path = resolve_model(model)
    bundle = open_bundle(path, public_key=public_key)
    operators = bundle.graph.operator_counts()
    if bundle.spec.caption is not None:
        bind_captions(bundle)
        operators += read_graph(bundle.model, ENCODE_SUBGRAPH).operator_counts()
    else:
        bind(bundle.graph, bundle.spec)
    if card:
        for line in bundle.card.splitlines():
            click.echo(printable(line))
        return
    if as_json:
        spec = json.loads(bundle.spec.to_json())
        print_json(
            {
                "file": str(path),
                "bytes": path.stat().st_size,
                "graph_bytes": len(bundle.model),
                "operators": operators,
                "golden_frames": len(bundle.golden.frames),
                "spec": spec,
            }
        )
        return
    _show(bundle, path.stat().st_size, operators)


def _show(bundle: Bundle, size: int, operators: list[dict[str, Any]]) -> None:
    spec = bundle.spec
    click.echo(f"{spec.name}: {spec.task}, {spec.recipe}, {size / 1000:.0f} kB")
    caption = spec.caption
    if caption is not None:
        click.echo(
            f"words      {len(spec.labels)}, {caption.longest} in a sentence at most; beam "
            f"{caption.beam}, length penalty {caption.length_penalty:g}"
        )
    else:
        named = "values" if spec.task == "regression" else "labels"
        click.echo(f"{named}     {', '.join(spec.labels)}")
    click.echo(
        f"input      {spec.input.width}×{spec.input.height} {spec.input.color}, {spec.rate_hz:g} "
        f"frames/s, resize {spec.input.resize}, fit {spec.input.fit}"
    )
    if spec.task != "regression" and caption is None:
        decision = spec.decision
        click.echo(
            f"decisions  smoothing {decision.smoothing_s} s, enter {decision.enter}, leave "
            f"{decision.leave}, background {decision.background or 'none'}"
        )
        for label, own in decision.per_label.items():
            given = ", ".join(f"{name.removesuffix('_s')} {v}" for name, v in own.given().items())
            click.echo(f"           {label}: {given}")
    click.echo(
        f"golden     {len(bundle.golden.frames)} frames in {spec.golden.rounds} rounds, "
        f"tolerance {spec.golden.tolerance} steps"
    )
    for key, value in spec.provenance.items():
        for line in _lines(value):
            click.echo(printable(f"{key:<10} {line}"))
    tensors = [spec.input.tensor, *spec.states, spec.output.tensor]
    roles = ["input", *("state" for _ in spec.states), "output"]
    if caption is not None:
        tensors += [*caption.features, caption.attention]
        roles += [*("feature" for _ in caption.features), "attention"]
    rows = [["tensor", "role", "dtype", "shape", "scale", "zero-point"]]
    for role, tensor in zip(roles, tensors, strict=True):
        scale = f"{tensor.scale:.6g}" if tensor.scale else "–"
        shape = "×".join(map(str, tensor.shape))
        rows.append([tensor.name, role, tensor.dtype, shape, scale, str(tensor.zero_point)])
    click.echo()
    click.echo(table(rows))
    click.echo()
    rows = [["operator", "dtype", "count"]]
    rows += [[entry["name"], entry["dtype"], str(entry["count"])] for entry in operators]
    click.echo(table(rows))


def _lines(value: Any) -> list[str]:
    """Provenance for people; nested settings are left to ``--json``."""
    if isinstance(value, list):
        return [str(item) for item in value]
    if isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
        return ["(see --json)"]
    if isinstance(value, dict):
        return [", ".join(f"{name} {item}" for name, item in value.items())]
    return [str(value)]
