"""``edgecap verify``: is the file intact, and does it compute the same here."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click

from edgecap.cli.common import json_option, print_json, runtime_options


@click.command("verify", short_help="Check that a file is intact and computes the same here.")
@click.argument("model")
@json_option
@runtime_options
def command(model: str, as_json: bool, **runtime: Any) -> None:
    """Check MODEL: digests, spec against graph, and the recorded outputs on this machine.

    Exit status 1 if the outputs differ by more than the model's own tolerance.

    \b
    Examples:
      edgecap verify gestures.tflite
      edgecap verify gestures.tflite --kernels reference
    """
    from edgecap.assets import resolve_model
    from edgecap.bundle import read_bundle
    from edgecap.captioning import CaptionModel
    from edgecap.captioning.golden import check_golden as check_captions
    from edgecap.golden import check_golden
    from edgecap.streaming import StreamingModel

    bundle = read_bundle(resolve_model(model))
    loaded: StreamingModel | CaptionModel
    if bundle.spec.caption is not None:
        loaded = CaptionModel(bundle, **runtime)
        check = check_captions(loaded)
    else:
        loaded = StreamingModel(bundle, **runtime)
        check = check_golden(loaded)
    if as_json:
        print_json(
            dataclasses.asdict(check)
            | {"passed": check.passed, "backend": dataclasses.asdict(loaded.backend)}
        )
    else:
        click.echo(f"intact: digests, spec and graph agree ({loaded.spec.name})")
        click.echo(f"runtime: {loaded.backend}")
        verdict = "same" if check.passed else "DIFFERENT"
        equal = "within that" if loaded.spec.task == "regression" else "answers equal"
        click.echo(
            f"outputs: {verdict}; largest difference {check.largest:.4g} steps of "
            f"{check.tolerance} allowed, {check.same_answers} of {check.frames} {equal}"
        )
    if not check.passed:
        sys.exit(1)
