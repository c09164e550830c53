"""What the tests of ``edgecap web`` share: a stand-in for LiteRT.js, other specs, node."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgecap
from edgecap import ziptail
from edgecap.browser.litert import VERSION

ASSETS = Path(edgecap.__file__).parent / "browser" / "assets"
NODE = shutil.which("node")


def stand_in(folder: Path, version: str = VERSION, name: str = "@litertjs/core") -> Path:
    """A package that looks like LiteRT.js as npm unpacks it; nothing can be computed with it."""
    wasm = folder / "wasm"
    wasm.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": name, "version": version}))
    for ending in ("js", "wasm"):
        (wasm / f"litert_wasm_compat_internal.{ending}").write_text("stands in")
    return folder


def with_spec(source: Path, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a model file with another spec; no digest covers the spec itself."""
    data = source.read_bytes()
    entries = ziptail.members(data)
    buffer = io.BytesIO(data[: min(entry.offset for entry in entries)])
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        for entry in entries:
            content = ziptail.read(data, entry)
            if entry.name == "edgecap.json":
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            archive.writestr(entry.name, content)
    path.write_bytes(buffer.getvalue())
    return path


def run_node(folder: Path, code: str, **given: Any) -> Any:
    """Runs a module in node beside the page's own, and returns what it gives to ``answer``.

    Args:
      folder: an empty one; the page's modules are copied there.
      code: JavaScript; it has ``given``, ``bytes(name)`` for a file in the folder, and ``answer``.
      given: as JSON.
    """
    assert NODE is not None
    for file in ASSETS.glob("*.js"):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "given.json").write_text(json.dumps(given))
    (folder / "test.mjs").write_text(
        'import { readFileSync } from "node:fs";\n'
        "const bytes = (name) => new Uint8Array(readFileSync(name));\n"
        'const given = JSON.parse(readFileSync("given.json", "utf8"));\n'
        "const answer = (value) => console.log(JSON.stringify(value));\n" + code
    )
    done = subprocess.run(
        [NODE, "test.mjs"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
