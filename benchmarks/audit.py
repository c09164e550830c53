"""What edgecap's runtime is made of: bill of materials, licences, known vulnerabilities.

    python -m pip install -e '.[dev]'
    python benchmarks/audit.py --sbom benchmarks/audit_results/sbom.json \\
        --licences benchmarks/audit_results/licences.json

The bill of materials (CycloneDX) is of a fresh environment with nothing but the runtime, written by
cyclonedx-py from an environment of its own. Licences are those that the packages installed here
state, of the runtime and of what each extra adds; a package that is not installed is named. Known
vulnerabilities are asked for with pip-audit, which needs the network: where it cannot, its words
are in the results. Environments are temporary; a minute or two with a fast connection.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TOOLS = ("cyclonedx-bom==7.5.0", "pip-audit>=2.9")
# Parts of an environment that are not edgecap's.
_NOT_OURS = ("pip", "setuptools", "wheel")
_PRIVATE = re.compile(r"file:|localhost|127\.0\.0\.1|/tmp/|/home/")
_CLASSIFIER = "License :: "
_LONGEST_LICENCE = 120


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def environment(folder: Path, *packages: str) -> Path:
    """A fresh environment with these packages; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = run(python, "-m", "pip", "-q", "install", *packages)
    if done.returncode:
        sys.exit(f"pip cannot install {' '.join(packages)}: {done.stderr[-1000:]}")
    return python


def bill_of_materials(tools: Path, runtime: Path) -> dict[str, Any]:
    """CycloneDX of an environment, without where this machine got the packages from."""
    done = run(
        *(tools.parent / "cyclonedx-py", "environment", "--output-reproducible"),
        *("--pyproject", ROOT / "pyproject.toml", "--of", "JSON", runtime),
    )
    if done.returncode:
        sys.exit(f"cyclonedx-py failed: {done.stderr[-1000:]}")
    document: dict[str, Any] = json.loads(done.stdout)
    document["components"] = [
        each for each in document.get("components", []) if each["name"] not in _NOT_OURS
    ]
    kept = {each["bom-ref"] for each in document["components"]}
    kept.add(document.get("metadata", {}).get("component", {}).get("bom-ref", ""))
    document["dependencies"] = [
        each | {"dependsOn": [ref for ref in each["dependsOn"] if ref in kept]}
        if "dependsOn" in each
        else each
        for each in document.get("dependencies", [])
        if each["ref"] in kept
    ]
    return without_private(document)


def without_private(value: Any) -> Any:
    """Without references to this machine's files and servers."""
    if isinstance(value, dict):
        return {name: without_private(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [
            without_private(inner)
            for inner in value
            if not (isinstance(inner, dict) and _PRIVATE.search(str(inner.get("url", ""))))
        ]
    return value


def licences() -> dict[str, Any]:
    """Of the runtime, and of what each extra adds to it: package → version and licence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = {"runtime": closure(project["dependencies"], project)}
    for extra, requirements in project["optional-dependencies"].items():
        packages = closure(requirements, project)
        found[extra] = {n: each for n, each in packages.items() if n not in found["runtime"]}
    return found


def closure(requirements: list[str], project: dict[str, Any]) -> dict[str, Any]:
    """All packages that requirements lead to on this machine."""
    found: dict[str, Any] = {}
    waiting = [(text, frozenset({""})) for text in requirements]
    seen = set()
    while waiting:
        text, extras = waiting.pop()
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": each}) for each in extras):
            continue
        if (text, extras) in seen:
            continue
        seen.add((text, extras))
        asked = frozenset(requirement.extras) | {""}
        if name == "edgecap":
            for extra in requirement.extras:
                waiting += [(t, frozenset({""})) for t in project["optional-dependencies"][extra]]
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = {"version": None, "licence": "not installed here"}
            continue
        found[name] = {"version": distribution.version, "licence": licence_of(distribution)}
        waiting += [(t, asked) for t in distribution.requires or ()]
    return dict(sorted(found.items()))


def licence_of(distribution: importlib.metadata.Distribution) -> str:
    """What a package states: an SPDX expression, else its classifiers, else its own words."""
    metadata = distribution.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    named = [
        text.removeprefix(_CLASSIFIER).removeprefix("OSI Approved :: ")
        for text in metadata.get_all("Classifier", [])
        if text.startswith(_CLASSIFIER) and text != "License :: OSI Approved"
    ]
    words = str(metadata.get("License") or "").strip().splitlines()
    return "; ".join(named) or (words[0][:_LONGEST_LICENCE] if words else "not stated")


def vulnerabilities(tools: Path, runtime: Path, folder: Path) -> dict[str, Any]:
    """What pip-audit knows of the runtime's packages; or why it does not."""
    frozen = run(runtime, "-m", "pip", "list", "--format", "freeze").stdout.splitlines()
    pinned = [
        line for line in frozen if line.partition("==")[0] not in (*_NOT_OURS, "edgecap") and line
    ]
    listed = folder / "pinned.txt"
    listed.write_text("\n".join(pinned) + "\n", "utf-8")
    told: dict[str, Any] = {"packages": pinned}
    for service in ("pypi", "osv"):
        done = run(
            *(tools.parent / "pip-audit", "--no-deps", "--disable-pip", "-s", service),
            *("--timeout", "20", "-f", "json", "-r", listed),
        )
        try:
            answers = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            lines = done.stderr.strip().splitlines() or ["no answer"]
            # Neither the address that was asked nor this machine's folders are of interest.
            words = re.sub(r"\S*(://|/)\S*|host='[^']*'", "…", lines[-1])
            told[service] = {"error": words[:300]}
            continue
        skipped = {each["name"]: each["skip_reason"] for each in answers if "skip_reason" in each}
        told[service] = {
            "audited": sum("vulns" in each for each in answers),
            "skipped": skipped,
            "found": [each for each in answers if each.get("vulns")],
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sbom", type=Path, required=True, help="write the bill there")
    parser.add_argument("--licences", type=Path, required=True, help="write licences there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = environment(folder / "tools", *TOOLS)
        runtime = environment(folder / "runtime", str(ROOT))
        bill = bill_of_materials(tools, runtime)
        audit = vulnerabilities(tools, runtime, folder)
    python = ".".join(map(str, sys.version_info[:3]))
    document = {"python": python, "licences": licences(), "pip-audit": audit}
    for path, content in ((arguments.sbom, bill), (arguments.licences, document)):
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        print(f"wrote {path}")
    print(f"{len(bill['components'])} packages in the bill")


if __name__ == "__main__":
    main()
