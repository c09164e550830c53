"""The ``edgecap`` command. Each verb is a thin module, imported when it is called."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys

import click

from edgecap import __version__

# verb → (module, one line of help). The help stands here so that `edgecap --help` imports nothing.
_VERBS = {
    "demo": ("edgecap.cli.demo", "Watch the packaged model recognise a synthetic scene."),
    "run": ("edgecap.cli.run", "Stream a camera, video, folder or scene through a model."),
    "caption": ("edgecap.cli.caption", "Tell pictures in a sentence each."),
    "web": ("edgecap.cli.web", "Make a page that runs a model in the browser."),
    "info": ("edgecap.cli.info", "Show what is inside a model file."),
    "verify": ("edgecap.cli.verify", "Check that a file is intact and computes the same here."),
    "sign": ("edgecap.cli.sign", "Sign a model, so that devices can tell whose it is."),
    "keygen": ("edgecap.cli.keygen", "Make a pair of keys to sign models with."),
    "replay": ("edgecap.cli.replay", "Run a flight recording again and compare every byte."),
    "data": ("edgecap.cli.data", "Show what is in a folder of clips or a manifest."),
    "train": ("edgecap.cli.train", "Train a model on clips, synthetic scenes or captions."),
    "crossval": ("edgecap.cli.crossval", "Cross-validate: train, convert and measure every fold."),
    "convert": ("edgecap.cli.convert", "Quantise a trained run into one int8 model file."),
    "doctor": ("edgecap.cli.doctor", "Find where an int8 model's error arises."),
    "evaluate": ("edgecap.cli.evaluate", "Measure a model or a run on labelled recordings."),
    "tune": ("edgecap.cli.tune", "Find a model's thresholds from recordings."),
    "bench": ("edgecap.cli.bench", "Measure how fast a model runs on this machine."),
}


class _LazyGroup(click.Group):
    """Imports a verb's module when the verb is called, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = importlib.import_module(_VERBS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in _VERBS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="edgecap")
@click.option("--debug", is_flag=True, help="Show tracebacks and the log.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Recognise what happens in front of a camera, frame by frame, on small computers.

    \b
    Examples:
      edgecap demo
      edgecap train synthetic: --out runs/scenes
      edgecap convert runs/scenes --out scenes.tflite
      edgecap run scenes.tflite --source synthetic: --jsonl -
    """
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="edgecap: %(message)s"
    )
    # It tells of every font that it looks at.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


# Verbs whose work can be gone on with.
_RESUMABLE = ("train", "convert", "crossval")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; errors are one line on stderr.

    Exit status: 0 done; 1 the job failed; 2 wrong use; 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        # Labels and paths may hold what a terminal's encoding does not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = cli.main(arguments, prog_name="edgecap", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "edgecap"
        _fail(f"{error.format_message()} (see '{path} --help')", 2)
    except click.ClickException as error:
        _fail(error.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        resumable = any(verb in arguments for verb in _RESUMABLE)
        _fail("interrupted; --resume goes on" if resumable else "interrupted", 130)
    except Exception as error:
        from edgecap.errors import EdgecapError, ReaderGoneError

        if isinstance(error, ReaderGoneError):
            # That is not a failure; and Python must not fail over it when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        if debug or not isinstance(error, (EdgecapError, OSError)):
            raise
        _fail(str(error), 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    from edgecap.cli.common import one_line

    print(f"edgecap: {one_line(message)}", file=sys.stderr)
    sys.exit(code)
