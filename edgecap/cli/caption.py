"""``edgecap caption``: sentences about pictures."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from edgecap.cli.common import (
    json_option,
    one_line,
    print_json,
    runtime_options,
    signature_option,
)


@click.command("caption", short_help="Tell pictures in a sentence each.")
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@click.option(
    "--beam",
    type=click.IntRange(1, 64),
    help="Hypotheses that are followed at once; 1 is greedy search.  [default: the model's]",
)
@click.option(
    "--attention",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Draw there where was looked for each word, as NAME.png.",
)
@json_option
@runtime_options
@signature_option
def command(
    model: str,
    images: tuple[str, ...],
    beam: int | None,
    attention: Path | None,
    as_json: bool,
    **runtime: Any,
) -> None:
    """Tell each IMAGE in a sentence, by MODEL (made by 'edgecap convert' of a captioning run).

    A picture that cannot be read is named on standard error, the others are told all the same; the
    exit status is then 1.

    \b
    Examples:
      edgecap caption captions.tflite holiday.jpg
      edgecap caption captions.tflite *.jpg --beam 5 --json
      edgecap caption captions.tflite dog.jpg --attention looked/
    """
    import edgecap
    from edgecap.assets import resolve_model
    from edgecap.errors import DataError
    from edgecap.images import read_image

    loaded = edgecap.load_captioner(resolve_model(model), probe=True, **runtime)
    if attention is not None:
        try:
            attention.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"--attention: {attention}: {error.strerror}") from error
    failed, records = False, []
    for name in images:
        try:
            image = read_image(name)
        except DataError as error:
            click.echo(f"edgecap: {one_line(str(error))}", err=True)
            failed = True
            continue
        began = time.perf_counter()
        found = loaded.captions(image, beam=beam)
        took_ms = (time.perf_counter() - began) * 1e3
        best = found[0]
        if attention is not None:
            _draw(attention / f"{Path(name).stem}.png", image, best)
        if as_json:
            records.append(
                {
                    "image": name,
                    "caption": best.text,
                    "score": round(best.score, 4),
                    "log_probability": round(best.log_probability, 4),
                    "others": [
                        {"caption": each.text, "score": round(each.score, 4)} for each in found[1:]
                    ],
                    "ms": round(took_ms, 2),
                }
            )
        elif len(images) == 1:
            click.echo(best.text)
        else:
            click.echo(f"{name}: {best.text}")
    if as_json:
        print_json(records)
    if failed:
        sys.exit(1)


def _draw(path: Path, image: Any, caption: Any) -> None:
    from edgecap.captioning.overlay import attention_sheet
    from edgecap.durable import write_atomically
    from edgecap.extras import require_cv2

    cv2 = require_cv2("to draw on pictures")
    _, encoded = cv2.imencode(".png", attention_sheet(image, caption)[:, :, ::-1])
    write_atomically(path, encoded.tobytes())
