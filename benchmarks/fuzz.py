"""A coverage-guided fuzzer (atheris, libFuzzer) on each reader of what a stranger may send.

    python benchmarks/fuzz.py [READER …] [--executions 1000000] [--seconds 600] [--json FILE]

Needs atheris (pip install atheris). Readers: ziptail, spec, flatbuffer (with the checks of tables),
golden, bundle. A reader may raise its own errors and nothing else, and must be done with any input
of up to 64 KiB within 10 s. It begins with tests/corpus/READER; what is found new stays in a
temporary folder. Where the seconds end first, the executions that were reached are told.

Exit status 1 after a crash or a hang; its input is beside, in fuzz-findings/.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CHILD = "--child"
_CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
_FINDINGS = Path("fuzz-findings")
_LONGEST, _TIMEOUT_S, _MEMORY_MB = 1 << 16, 10, 2048
READERS = ("ziptail", "spec", "flatbuffer", "golden", "bundle")


def target(reader: str) -> Callable[[bytes], None]:
    """What is called with each input; it raises what a reader must not."""
    from edgecap import bundle, flatbuffer, graph_checks, spec, ziptail
    from edgecap.errors import ModelFileError, SpecError

    def read_zip(data: bytes) -> None:
        for member in ziptail.members(data):
            if member.size < _LONGEST:
                ziptail.read(data, member)

    def read_spec(data: bytes) -> None:
        read = spec.ModelSpec.from_json(data.decode("utf-8", "surrogateescape"))
        assert spec.ModelSpec.from_json(read.to_json()) == read

    def read_tables(data: bytes) -> None:
        graph_checks.check_tables(data)
        for number in range(flatbuffer.read_graph(data).subgraphs):
            flatbuffer.read_graph(data, number)

    def read_golden(data: bytes) -> None:
        bundle.unpack_golden(data)

    def read_all(data: bytes) -> None:
        bundle.parse_bundle(data)

    readers: dict[str, tuple[Callable[[bytes], None], tuple[type[Exception], ...]]] = {
        "ziptail": (read_zip, (ziptail.ZipError,)),
        "spec": (read_spec, (SpecError,)),
        "flatbuffer": (read_tables, (ModelFileError,)),
        "golden": (read_golden, (ModelFileError,)),
        "bundle": (read_all, (ModelFileError, SpecError)),
    }
    read, expected = readers[reader]

    def one(data: bytes) -> None:
        with contextlib.suppress(*expected):
            read(data)

    return one


def serve(reader: str, arguments: list[str]) -> None:
    """In the child: does not return."""
    import atheris

    with atheris.instrument_imports(include=["edgecap"]):
        one = target(reader)
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def fuzz(reader: str, *, executions: int, seconds: int) -> dict[str, Any]:
    """Runs one reader's campaign."""
    _FINDINGS.mkdir(exist_ok=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as found:
        done = subprocess.run(
            [
                *(sys.executable, __file__, _CHILD, reader),
                *(found, str(_CORPUS / reader)),
                *(f"-runs={executions}", f"-max_total_time={seconds}", f"-max_len={_LONGEST}"),
                *(f"-timeout={_TIMEOUT_S}", f"-rss_limit_mb={_MEMORY_MB}", "-print_final_stats=1"),
                *(f"-artifact_prefix={_FINDINGS}/{reader}-", "-seed=1"),
            ],
            capture_output=True,
            check=False,
        )
        kept = len(list(Path(found).iterdir()))
    told = done.stderr.decode(errors="replace")
    reached = re.search(r"stat::number_of_executed_units:\s*(\d+)", told)
    covered = re.findall(r"cov: (\d+)", told)
    return {
        "executions": int(reached[1]) if reached else 0,
        "seconds": round(time.perf_counter() - began, 1),
        "clean": done.returncode == 0 and reached is not None,
        "covered_edges": int(covered[-1]) if covered else 0,
        "inputs_kept": kept,
        "told": [] if done.returncode == 0 else told.strip().splitlines()[-15:],
    }


def main() -> None:
    if sys.argv[1:2] == [_CHILD]:
        serve(sys.argv[2], sys.argv[3:])
        return
    import record

    parser = record.parser(__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=600, help="for each reader")
    arguments = parser.parse_args()
    readers = arguments.readers or list(READERS)
    if not set(readers) <= set(READERS) or arguments.executions < 1 or arguments.seconds < 1:
        parser.error(f"expected readers of {', '.join(READERS)}, and numbers of 1 or more")
    result = {}
    for reader in readers:
        result[reader] = fuzz(reader, executions=arguments.executions, seconds=arguments.seconds)
        print(reader, result[reader], file=sys.stderr)
    record.publish({"longest_input": _LONGEST, "readers": result}, arguments)
    if not all(each["clean"] for each in result.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
