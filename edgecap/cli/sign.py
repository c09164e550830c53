"""``edgecap sign``: whose model it is."""

from __future__ import annotations

import click


@click.command("sign", short_help="Sign a model, so that devices can tell whose it is.")
@click.argument("model")
@click.option("--key", required=True, type=click.Path(), help="The private key, PEM.")
@click.option("--out", type=click.Path(), help="Where to.  [default: MODEL itself]")
def command(model: str, key: str, out: str | None) -> None:
    """Sign MODEL with a private key of 'edgecap keygen'. Needs the extra 'sign'.

    A device that is given --require-signature and the public key takes only what was signed so, and
    unchanged since. 'edgecap tune' writes a new file, which has to be signed again.

    \b
    Examples:
      edgecap sign gestures.tflite --key owner.pem
      edgecap sign gestures.tflite --key owner.pem --out signed.tflite
      edgecap run signed.tflite --source 0 --require-signature owner.public.pem
    """
    from edgecap.signature import sign

    target = out or model
    fingerprint = sign(model, key, target)
    click.echo(f"{target}: signed by {fingerprint}")
