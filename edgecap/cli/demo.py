"""``edgecap demo``: the packaged model on a packaged scene."""

from __future__ import annotations

import click

from edgecap.cli.common import json_option, print_json


@click.command("demo", short_help="Watch the packaged model recognise a synthetic scene.")
@click.option("--seed", type=click.IntRange(0), default=2026, show_default=True, help="The scene.")
@click.option("--gestures", type=click.IntRange(1, 1000), default=24, show_default=True)
@click.option("--plain", is_flag=True, help="No picture, one line per event.")
@json_option
def command(seed: int, gestures: int, plain: bool, as_json: bool) -> None:
    """Watch the packaged int8 model recognise gestures in a scene it was not trained on.

    Needs no camera, no TensorFlow and no OpenCV.

    \b
    Examples:
      edgecap demo
      edgecap demo --seed 7 --gestures 100 --plain
    """
    from edgecap.demo import play

    score = play(seed=seed, gestures=gestures, draw=not plain and not as_json, quiet=as_json)
    if as_json:
        print_json(score)
