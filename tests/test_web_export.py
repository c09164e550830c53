"""``edgecap web``: what it writes, serves and refuses; needs neither a browser nor npm."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from edgecap.browser import find_litert, write_site
from edgecap.browser.litert import VARIABLE, VERSION
from edgecap.browser.server import SiteServer
from edgecap.browser.site import check_runnable
from edgecap.cli import main
from edgecap.errors import (
    ConfigError,
    MissingDependencyError,
    ModelFileError,
    SinkError,
    SpecError,
)
from edgecap.spec import TASKS
from tests.processes import INTERRUPTIBLE
from tests.web_pages import stand_in, with_spec


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where npm has unpacked something that looks like LiteRT.js."""
    monkeypatch.delenv(VARIABLE, raising=False)
    return stand_in(tmp_path / "npm" / "node_modules" / "@litertjs" / "core").parents[2]


@pytest.fixture
def site(npm: Path, demo_path: Path, tmp_path: Path) -> Path:
    return write_site(demo_path, tmp_path / "site", litert=find_litert(npm)).folder


def texts(site: Path) -> dict[str, str]:
    kinds = {".js", ".html", ".css", ".webmanifest"}
    return {file.name: file.read_text("utf-8") for file in site.iterdir() if file.suffix in kinds}


def test_the_folder_holds_whatever_the_page_asks_for(site: Path, demo_path: Path) -> None:
    assert (site / "model.tflite").read_bytes() == demo_path.read_bytes()
    for name, text in texts(site).items():
        asked = re.findall(r'(?:from|import) "\./([^"]+)"', text)
        asked += re.findall(r'(?:src|href)="([^"#]+)"', text)
        asked += re.findall(r'new URL\("([^"]+)", import\.meta\.url', text)
        for wanted in asked:
            assert (site / wanted).is_file(), f"{name} asks for {wanted}"
    worker = (site / "worker.js").read_text()
    for wanted in (*re.findall(r'"(\w+\.js)"', worker), *re.findall(r'"(litert/[^"]+)"', worker)):
        assert (site / wanted).is_file()
    assert "Apache" in (site / "litert" / "NOTICE.txt").read_text()
    assert json.loads((site / "manifest.webmanifest").read_text())["name"] == "gestures-demo"


def test_nothing_is_asked_for_elsewhere(site: Path) -> None:
    for name, text in texts(site).items():
        code = re.sub(r"^\s*(//|\*|/\*).*$", "", text, flags=re.MULTILINE)
        assert not re.search(r"(https?:)?//[\w.]+\.\w+/", code), name
        # Names from a file are text; nothing makes HTML or code of them.
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", code)
    # Relative addresses only: the folder may lie anywhere on a server.
    assert not re.search(r'(?:src|href)="/', (site / "index.html").read_text())


def test_everything_is_kept_for_when_there_is_no_network(site: Path) -> None:
    worker = (site / "service-worker.js").read_text()
    listed = re.search(r"const FILES = (\[.*\]);", worker)
    assert listed
    written = {str(file.relative_to(site)) for file in site.rglob("*") if file.is_file()}
    assert set(json.loads(listed[1])) == written - {"service-worker.js"} | {"./"}
    assert re.search(r'const VERSION = "[0-9a-f]{16}";', worker)


def test_the_version_follows_every_file(npm: Path, demo_path: Path, tmp_path: Path) -> None:
    litert = find_litert(npm)
    first = write_site(demo_path, tmp_path / "a", litert=litert)
    assert write_site(demo_path, tmp_path / "b", litert=litert).version == first.version
    renamed = with_spec(demo_path, tmp_path / "other.tflite", lambda d: d.update(name="other"))
    other = write_site(renamed, tmp_path / "a", litert=litert)
    assert (other.model, other.folder) == ("other", first.folder)
    assert other.version != first.version
    assert first.version not in (first.folder / "service-worker.js").read_text()


def test_only_a_folder_of_its_own_is_written_to(npm: Path, demo_path: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"thesis: expected a new or an empty folder"):
        write_site(demo_path, thesis, litert=find_litert(npm))
    assert [file.name for file in thesis.iterdir()] == ["index.html"]
    with pytest.raises(ConfigError, match="something else"):
        write_site(demo_path, thesis / "index.html", litert=find_litert(npm))
    (tmp_path / "empty").mkdir()
    write_site(demo_path, tmp_path / "empty", litert=find_litert(npm))


_LIMITED = """
import resource, sys
from edgecap.browser import find_litert, write_site
from edgecap.errors import ConfigError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    write_site(sys.argv[1], sys.argv[2], litert=find_litert(None))
except ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_leaves_the_page_as_it_was(npm: Path, site: Path, demo_path: Path) -> None:
    (site / "index.html").write_text("of an older edgecap")
    (site / "CNAME").write_text("somebody's own")
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    for folder in (site, site.with_name("new")):
        done = subprocess.run(
            [sys.executable, "-c", _LIMITED, str(demo_path), str(folder)],
            capture_output=True,
            text=True,
            cwd=npm,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            check=False,
        )
        assert done.stdout.startswith(f"cannot write {folder}: "), done.stderr
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    assert not site.with_name("new").exists()
    assert list(site.glob(".*")) == []
    # And with room again, only what is the page's changes.
    write_site(demo_path, site, litert=find_litert(npm))
    assert (site / "index.html").read_text() != "of an older edgecap"
    assert (site / "CNAME").read_text() == "somebody's own"


def test_a_page_whose_writing_was_killed_is_written_again(
    npm: Path, demo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any of the renames: the worker, by which a page is known, is the last of them."""
    replace, renames = Path.replace, 0

    class KilledError(BaseException):
        pass

    def die(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames > 3:
            # Nothing is cleaned up by a killed process.
            monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
            raise KilledError
        return replace(self, target)

    folder = tmp_path / "site"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(KilledError):
            write_site(demo_path, folder, litert=find_litert(npm))
    monkeypatch.undo()
    assert (folder / "model.tflite").exists()
    assert not (folder / "service-worker.js").exists()
    site = write_site(demo_path, folder, litert=find_litert(npm))
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == set(site.files)


def test_a_model_that_no_page_can_run_is_refused(
    npm: Path, demo_path: Path, tmp_path: Path
) -> None:
    area = with_spec(
        demo_path, tmp_path / "area.tflite", lambda d: d["input"].update(resize="area")
    )
    for path, error, told in (
        (area, SpecError, "'linear' only"),
        (tmp_path / "none.tflite", ModelFileError, "no such file"),
        (Path(__file__), ModelFileError, "not a model"),
    ):
        with pytest.raises(error, match=told):
            write_site(path, tmp_path / "site", litert=find_litert(npm))
    assert not (tmp_path / "site").exists()
    with pytest.raises(SpecError, match=r"answer every frame.*'captioning'.*edgecap command"):
        check_runnable("words.tflite", "captioning", "linear")
    for task in set(TASKS) & {"classification", "multilabel", "regression"}:
        check_runnable("model.tflite", task, "linear")


def test_litert_is_found_as_npm_leaves_it(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = npm / "node_modules" / "@litertjs" / "core"
    for given in (npm, npm / "node_modules", package):
        assert find_litert(given).folder.resolve() == package.resolve()
    packed = stand_in(tmp_path / "packed" / "package").parent
    assert find_litert(packed).folder == packed / "package"
    monkeypatch.chdir(npm)
    assert find_litert().version == VERSION
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(npm))
    assert find_litert().version == VERSION


def test_without_litert_it_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    install = rf"npm install @litertjs/core@{re.escape(VERSION)}"
    with pytest.raises(MissingDependencyError, match=rf"not in ./node_modules.*{install}"):
        find_litert()
    with pytest.raises(MissingDependencyError, match=install):
        find_litert(tmp_path / "nowhere")
    other = stand_in(tmp_path / "another", name="left-pad")
    with pytest.raises(MissingDependencyError, match="is not in"):
        find_litert(other)
    old = stand_in(tmp_path / "old", version="0.1.0")
    with pytest.raises(MissingDependencyError, match=rf"0\.1\.0; expected .*{install}"):
        find_litert(old)
    half = stand_in(tmp_path / "half")
    (half / "wasm" / "litert_wasm_compat_internal.wasm").unlink()
    with pytest.raises(MissingDependencyError, match=r"lacks litert_wasm_compat_internal\.wasm"):
        find_litert(half)


def fetch(url: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by their names in Title-Case, body."""
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return answer.status, {k.title(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {}, error.read()


def test_the_server_gives_each_file_as_what_it_is(site: Path) -> None:
    kinds = {
        "": "text/html",
        "index.html": "text/html",
        "app.js": "text/javascript",
        "app.css": "text/css",
        "icon.svg": "image/svg+xml",
        "manifest.webmanifest": "application/manifest+json",
        "model.tflite": "application/octet-stream",
        "litert/litert_wasm_compat_internal.wasm": "application/wasm",
    }
    with SiteServer(site) as server:
        assert server.loopback
        for name, kind in kinds.items():
            status, headers, body = fetch(server.url + name)
            assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
            assert body == (site / (name or "index.html")).read_bytes()
            assert "'unsafe-eval'" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
        assert fetch(server.url + "litert/")[0] == 404
        assert fetch(server.url + "../../etc/passwd")[0] == 404
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(SinkError, match=rf"127\.0\.0\.1:{port}: .*choose another port"):
            SiteServer(site, port=port)
    with pytest.raises(SinkError, match="cannot serve"):
        SiteServer(site, "no.such.host.test")


def test_the_page_and_the_server_say_the_same_of_what_is_allowed(site: Path) -> None:
    """On another web server only what the page says holds."""
    said = re.search(
        r'Content-Security-Policy" content="([^"]+)"', (site / "index.html").read_text()
    )
    assert said
    with SiteServer(site) as server:
        given = fetch(server.url)[1]["Content-Security-Policy"]
    # A page cannot say of itself who may frame it.
    assert given == f"{said[1]}; frame-ancestors 'none'"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["web", *arguments])
    return int(end.value.code or 0)


def test_the_command_writes_a_folder(
    npm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("demo", "--out", str(tmp_path / "out"), "--litert", str(npm)) == 0
    told = capsys.readouterr().out
    assert "gestures-demo" in told and "https" in told
    assert (tmp_path / "out" / "index.html").is_file()


def test_the_command_says_in_one_line_what_is_wrong(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, code, told in (
        (("demo", "--out", "site"), 1, "npm install"),
        (("demo", "--out", "site", "--listen", "1"), 2, "give one of them"),
        (("demo", "--listen", "nowhere"), 2, "expected HOST:PORT"),
        (("none.tflite", "--out", "site", "--litert", str(npm)), 1, "no such file"),
        (("demo", "--out", "npm", "--litert", str(npm)), 1, "new or an empty folder"),
    ):
        assert run(*arguments) == code
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and told in lines[0]


def test_the_command_serves_until_it_is_interrupted(npm: Path) -> None:
    command = [*INTERRUPTIBLE, "web", "demo", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--litert", str(npm)],
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        assert fetch(url)[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
