"""How long ``edgecap --help`` and ``import edgecap`` take, as whole processes; medians of 15.

python benchmarks/startup.py [--json FILE]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import record

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
    arguments = record.parser(__doc__).parse_args()
    times: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for _ in range(_RUNS):
        for name, command in _COMMANDS.items():
            times[name].append(seconds(command))
    medians = {name: round(statistics.median(t), 4) for name, t in times.items()}
    record.publish({"median_seconds": medians}, arguments)


if __name__ == "__main__":
    main()
