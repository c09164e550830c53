"""How long ``edgecap --help`` and ``import edgecap`` take, as whole processes; medians of 15.

python benchmarks/startup.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import environment

_COMMANDS = {
    "python_alone": ["-c", "pass"],
    "import_edgecap": ["-c", "import edgecap"],
    "edgecap_help": ["-m", "edgecap", "--help"],
}
_RUNS = 15


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for _ in range(_RUNS):
        for name, command in _COMMANDS.items():
            times[name].append(seconds(command))
    result = {
        "command": "python benchmarks/startup.py",
        "median_seconds": {name: round(statistics.median(t), 4) for name, t in times.items()},
        "environment": environment.describe(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
