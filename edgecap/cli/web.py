"""``edgecap web``: a model as a page that runs it in the browser."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import click

from edgecap.cli.common import listen_address


@click.command("web", short_help="Make a page that runs a model in the browser.")
@click.argument("model")
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the page there, for any web server; otherwise it is served from here.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where it is served without --out; port 0 for any.  [default: 127.0.0.1:8081]",
)
@click.option(
    "--litert",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="LiteRT.js, as npm has unpacked it.  [default: ./node_modules/@litertjs/core]",
)
def command(model: str, out: Path | None, listen: str | None, litert: Path | None) -> None:
    """Make a page that runs MODEL in the browser: camera or video in, events out, no server behind.

    The page needs LiteRT.js from npm; nothing is fetched from anywhere when it runs.

    \b
    Examples:
      npm install @litertjs/core@2.5.3
      edgecap web gestures.tflite                 # http://127.0.0.1:8081/ until Ctrl-C
      edgecap web gestures.tflite --out site/     # a static folder for any web server
    """
    from edgecap.assets import resolve_model
    from edgecap.browser import find_litert, write_site
    from edgecap.browser.server import SiteServer
    from edgecap.shutdown import stop_on_signals

    if out is not None and listen is not None:
        raise click.UsageError("--listen is for serving, --out for writing: give one of them")
    host, port = listen_address(listen, ("127.0.0.1", 8081))
    found = find_litert(litert)
    path = resolve_model(model)
    if out is not None:
        site = write_site(path, out, litert=found)
        size = sum(site.files.values()) / 1e6
        click.echo(f"{out}: {site.model}, {len(site.files)} files, {size:.1f} MB")
        click.echo("serve it over https, or on localhost: elsewhere browsers give no camera")
        return
    with tempfile.TemporaryDirectory(prefix="edgecap-web-") as folder:
        write_site(path, Path(folder) / "site", litert=found)
        ended = threading.Event()
        server = SiteServer(Path(folder) / "site", host, port)
        with server, stop_on_signals(ended.set):
            click.echo(f"{server.url}  (Ctrl-C ends it)")
            if not server.loopback:
                click.echo(
                    "browsers elsewhere give no camera over plain http, only video files; "
                    "docs/browser.md has ways to https"
                )
            ended.wait()
