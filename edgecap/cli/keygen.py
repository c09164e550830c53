"""``edgecap keygen``: a pair of keys to sign models with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("keygen", short_help="Make a pair of keys to sign models with.")
@click.argument("key", type=click.Path(path_type=Path))
def command(key: Path) -> None:
    """Make a private Ed25519 key KEY (a .pem) and its public key beside it. Needs the extra 'sign'.

    The private key stays where models are made; the public one, NAME.public.pem, goes to the
    devices. No file is written over.

    \b
    Examples:
      edgecap keygen owner.pem
      edgecap sign gestures.tflite --key owner.pem
    """
    from edgecap.signature import make_keys

    public = make_keys(key)
    click.echo(f"{key}: the private key; keep it\n{public}: the public key, for devices")
