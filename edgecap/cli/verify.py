"""``edgecap verify``: is the file intact, and does it compute the same here."""

from __future__ import annotations

import sys
from typing import Any

import click

from edgecap.cli.common import json_option, print_json, runtime_options, signature_option


@click.command("verify", short_help="Check that a file is intact and computes the same here.")
@click.argument("model")
@json_option
@runtime_options
@signature_option
def command(model: str, as_json: bool, public_key: str | None, **runtime: Any) -> None:
    """Check MODEL: digests, spec against graph, and the recorded outputs on this machine.

    The model runs in a child process with limits of memory and time, so that a file that kills the
    runtime is told of. Exit status 1 then, or if the outputs differ by more than the model's own
    tolerance.

    \b
    Examples:
      edgecap verify gestures.tflite
      edgecap verify gestures.tflite --kernels reference
      edgecap verify gestures.tflite --require-signature owner.public.pem
    """
    from edgecap.assets import resolve_model
    from edgecap.opening import open_bundle
    from edgecap.probe import probe

    path = resolve_model(model)
    bundle = open_bundle(path, public_key=public_key)
    found = probe(path, bundle, **runtime)
    check = found.golden
    if as_json:
        print_json(check | {"passed": found.passed, "backend": found.backend})
    else:
        spec = bundle.spec
        click.echo(f"intact: digests, spec and graph agree ({spec.name})")
        click.echo(f"runtime: {found.told}")
        verdict = "same" if found.passed else "DIFFERENT"
        equal = "within that" if spec.task == "regression" else "answers equal"
        click.echo(
            f"outputs: {verdict}; largest difference {check['largest']:.4g} steps of "
            f"{check['tolerance']} allowed, {check['same_answers']} of {check['frames']} {equal}"
        )
    if not found.passed:
        sys.exit(1)
