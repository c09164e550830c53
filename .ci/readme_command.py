"""Prints a command of the README, so that CI runs what the README says and not a copy.

python readme_command.py demo      the block after <!-- command: demo -->
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def command(name: str) -> str:
    match = re.search(
        rf"<!-- command: {re.escape(name)} -->\s*```sh\n(.*?)```", README.read_text("utf-8"), re.S
    )
    if match is None:
        raise SystemExit(f"README.md has no command {name!r}")
    return match.group(1)


if __name__ == "__main__":
    print(command(sys.argv[1]), end="")
