"""What the log says, where to, and what it never says."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgecap import logs
from edgecap.cli.logs import log_options
from edgecap.errors import ConfigError

URL = "rtsp://admin:hunter2@camera.local/1?token=abc123"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("edgecap")
    before = root.handlers[:], root.level, own.level, logging.raiseExceptions
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:], logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    own.setLevel(before[2])


def test_secrets_are_masked_in_messages_arguments_and_tracebacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    logs.set_up("info", file=path)
    log = logging.getLogger("edgecap.sources")
    log.info("opening %s", URL)
    log.warning(f"lost {URL}")
    try:
        int(URL)
    except ValueError:
        log.exception("failed")
    logging.getLogger("urllib3").warning("%s", {"url": URL})
    for text in (path.read_text("utf-8"), capsys.readouterr().err):
        assert text.count("admin:***@camera.local") >= 4
        assert "Traceback" in text
        assert "hunter2" not in text and "abc123" not in text


def test_a_line_says_when_how_bad_and_who(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning")
    logging.getLogger("edgecap.pipeline").info("not asked for")
    logging.getLogger("edgecap.pipeline").warning("state reset")
    (line,) = capsys.readouterr().err.splitlines()
    date, time, rest = line.split(" ", 2)
    assert (len(date), len(time)) == (10, 12)
    assert rest == "WARNING edgecap.pipeline: state reset"
    assert "\x1b" not in line


def test_the_journal_is_given_priorities_and_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", journal=True)
    log = logging.getLogger("edgecap.pipeline")
    log.info("on")
    log.warning("two\nlines")
    log.error("off")
    assert capsys.readouterr().err.splitlines() == [
        "<6>INFO edgecap.pipeline: on",
        "<4>WARNING edgecap.pipeline: two",
        "<4>lines",
        "<3>ERROR edgecap.pipeline: off",
    ]


def test_the_journal_is_known_by_what_systemd_says_of_it() -> None:
    code = "from edgecap import logs; print(logs._is_journal())"
    reading, writing = os.pipe()
    status = os.fstat(writing)
    for told, expected in ((f"{status.st_dev}:{status.st_ino}", "True"), ("1:2", "False")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=writing,
            text=True,
            check=True,
            env={**os.environ, "JOURNAL_STREAM": told},
        )
        assert done.stdout.strip() == expected
    os.close(reading)
    os.close(writing)


def test_the_log_file_does_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_FILE_BYTES", 2000)
    logs.set_up("info", file=tmp_path / "log")
    for index in range(500):
        logging.getLogger("edgecap").info("frame %d", index)
    assert len(list(tmp_path.iterdir())) == 6
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    assert "frame 499" in (tmp_path / "log").read_text()


def test_a_wrong_level_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of debug, info, warning, error; got 'all'"):
        logs.set_up("all")
    with pytest.raises(ConfigError, match="cannot write"):
        logs.set_up("info", file=tmp_path / "missing" / "log")


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        ([], logging.WARNING),
        (["-v"], logging.INFO),
        (["-vv"], logging.DEBUG),
        (["--log-level", "error", "-v"], logging.ERROR),
    ],
)
def test_the_options_of_a_verb_set_the_level(
    arguments: list[str], level: int, tmp_path: Path
) -> None:
    @click.command()
    @click.argument("name")
    @log_options
    def verb(name: str) -> None:
        """Does it."""
        logging.getLogger("edgecap").error("%s", name)

    path = tmp_path / "log"
    done = CliRunner().invoke(verb, ["door", "--log-file", str(path), *arguments])
    assert done.exit_code == 0, done.output
    assert logging.getLogger("edgecap").level == level
    assert path.read_text().endswith("ERROR edgecap: door\n")
    assert "Does it." in CliRunner().invoke(verb, ["--help"]).output
