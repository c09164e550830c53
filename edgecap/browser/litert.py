"""Finds LiteRT.js, which comes from npm and not with edgecap: its WebAssembly is 9 MB a variant."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from edgecap.errors import MissingDependencyError

PACKAGE = "@litertjs/core"
#: The one that was tested. The page speaks to its bindings below the typed face, which may change.
VERSION = "2.5.3"
#: A folder that is looked into as well.
VARIABLE = "EDGECAP_LITERT_JS"

# The variant without relaxed SIMD, whose results each browser may choose: it has the same bytes
# everywhere, for some of the speed (docs/browser.md).
_FILES = ("litert_wasm_compat_internal.js", "litert_wasm_compat_internal.wasm")
_INSTALL = f"type 'npm install {PACKAGE}@{VERSION}' here, or say with --litert where it is"


@dataclass(frozen=True)
class LiteRtJs:
    """An unpacked npm package.

    Attributes:
      folder: that of its ``package.json``.
      version: as it stands there.
    """

    folder: Path
    version: str

    @property
    def files(self) -> tuple[Path, ...]:
        """What a page needs of it."""
        return tuple(self.folder / "wasm" / name for name in _FILES)


def find_litert(given: str | Path | None = None) -> LiteRtJs:
    """Looks for the npm package.

    Args:
      given: its folder, or one that holds it as ``npm pack`` or ``npm install`` leave it; by
        default that of ``$EDGECAP_LITERT_JS``, or the current one.

    Raises:
      MissingDependencyError: it is not there, incomplete, or of another version.
    """
    named = given or os.environ.get(VARIABLE)
    place = Path(named) if named else Path()
    inside = (".", "package", PACKAGE, f"node_modules/{PACKAGE}")
    for folder in (place / name for name in inside):
        version = _version(folder / "package.json")
        if version is None:
            continue
        found = LiteRtJs(folder, version)
        if version != VERSION:
            raise MissingDependencyError(
                f"{folder} is {PACKAGE} {version}; expected {VERSION}, the one tested: {_INSTALL}"
            )
        missing = [file.name for file in found.files if not file.is_file()]
        if missing:
            raise MissingDependencyError(f"{folder} lacks {missing[0]}: {_INSTALL}")
        return found
    where = f"in {place}" if named else "in ./node_modules"
    raise MissingDependencyError(f"LiteRT.js ({PACKAGE}) is not {where}: {_INSTALL}")


def _version(file: Path) -> str | None:
    """Of the package that a ``package.json`` describes; ``None`` if it is another's or none."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("name") != PACKAGE:
        return None
    return str(document.get("version"))
