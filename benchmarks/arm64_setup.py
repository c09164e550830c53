"""Sets up an arm64 Debian userland for qemu, without root, in half a minute and 190 MB.

    python benchmarks/arm64_setup.py [FOLDER]

Debian's packages are unpacked, not installed; Python's wheels for aarch64 go beside them, with the
versions of LiteRT and NumPy that are installed here. Needs a Debian-like x86-64 Linux, Debian's
package archive and PyPI.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arm64_userland import (
    COMPLETE,
    CPUS,
    PYTHON,
    QEMU,
    SUITE,
    WHEELS,
    Userland,
    UserlandError,
    last_line,
    open_userland,
    read_versions,
    wanted_versions,
)

_MIRROR = "http://deb.debian.org/debian"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6")
_PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in (17, 26, 27, 28, 31, 34)]
_QEMU_PACKAGE = "qemu-user-static:amd64"
_CORES = 4

_APT = """
#clear APT::Architectures;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; "amd64"; }};
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "";
Acquire::Languages "none";
Debug::NoLocking "true";
Dir::State "{apt}/state";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Log "{apt}/log";
Dir::Etc::sourcelist "{apt}/sources.list";
Dir::Etc::sourceparts "{apt}/none";
Dir::Etc::preferences "{apt}/none/preferences";
Dir::Etc::preferencesparts "{apt}/none";
"""


def default_root() -> Path:
    """``edgecap/arm64`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edgecap" / "arm64"


def prepare(root: Path) -> Userland:
    """Opens the userland, after setting it up where there is none of the versions needed.

    It is built beside and renamed, so that what has the name is complete.

    Raises:
      UserlandError: a tool is missing, a download failed, or the folder holds something else.
    """
    root = root.resolve()
    try:
        return open_userland(root)
    except UserlandError:
        if root.exists() and read_versions(root) is None and any(root.iterdir()):
            raise UserlandError(
                f"{root}: expected no folder, an empty one or a userland; it holds something "
                "else. Name another folder"
            ) from None
    _check_host()
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as work:
        made = Path(work) / "new"
        made.mkdir()
        _build(made, Path(work))
        if root.exists():
            root.rename(Path(work) / "old")
        made.rename(root)
    return open_userland(root)


def _build(root: Path, work: Path) -> None:
    apt = _apt(work)
    _call([*apt, "update"], "apt-get update")
    _call([*apt, "-y", "--download-only", "install", *_PACKAGES], "downloading Debian packages")
    debs = sorted((work / "apt" / "cache" / "archives").glob("*.deb"))
    for deb in debs:
        _call(["dpkg", "-x", deb, root / "debian"], f"unpacking {deb.name}")
    installed = shutil.which(QEMU)
    if installed is None:
        _call([*apt, "download", _QEMU_PACKAGE], f"downloading {_QEMU_PACKAGE}", cwd=work)
        (deb,) = work.glob("qemu-user-static_*.deb")
        _call(["dpkg", "-x", deb, work / "qemu"], f"unpacking {deb.name}")
        (root / "bin").mkdir()
        shutil.move(work / "qemu" / "usr" / "bin" / QEMU, root / "bin" / QEMU)
    qemu = Path(installed) if installed else root / "bin" / QEMU
    _install_wheels(root / "site")
    for cpu in CPUS:
        _pose_as(cpu, root)
    versions = wanted_versions() | {"debian packages": " ".join(deb.stem for deb in debs)}
    versions["qemu"] = _call([qemu, "--version"], "qemu").partition("\n")[0]
    userland = Userland(root, qemu, versions)
    for cpu in CPUS:
        # That it works, and so that no later run has to compile these modules again.
        userland.run(cpu, ["-c", "import ai_edge_litert.interpreter"], write_bytecode=True)
    (root / COMPLETE).write_text(json.dumps(versions, indent=2) + "\n", "utf-8")


def _apt(work: Path) -> list[str | Path]:
    """``apt-get`` with lists, status and cache of its own: the host's are neither read nor written.

    Its settings stay, since a proxy may be among them.
    """
    apt = work / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "log", "none"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_MIRROR} {SUITE} main\n")
    (apt / "apt.conf").write_text(_APT.format(apt=apt))
    return ["apt-get", "-q", "-c", apt / "apt.conf"]


def _install_wheels(site: Path) -> None:
    wanted = wanted_versions()
    command: list[str | Path] = [sys.executable, "-m", "pip", "install", "-q", "--target", site]
    command += [f"--platform={name}" for name in _PLATFORMS]
    command += [f"--python-version={PYTHON}", "--implementation=cp", "--no-compile"]
    command += ["--only-binary=:all:", "--no-deps", "--disable-pip-version-check"]
    command += [f"{name}=={wanted[name]}" for name in WHEELS]
    _call(command, "installing wheels for aarch64")


def _pose_as(cpu: str, root: Path) -> None:
    """A view on the userland with this processor's /proc/cpuinfo, and as many cores in /sys."""
    part, features = CPUS[cpu]
    view = root / "cpus" / cpu
    cores = view / "sys" / "devices" / "system" / "cpu"
    for folder in (view / "proc", cores):
        folder.mkdir(parents=True)
    for entry in (root / "debian").iterdir():
        (view / entry.name).symlink_to(Path("..", "..", "debian", entry.name))
    about = (
        f"BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n"
    )
    text = "".join(f"processor\t: {core}\n{about}" for core in range(_CORES))
    (view / "proc" / "cpuinfo").write_text(text)
    for name in ("possible", "present"):
        (cores / name).write_text(f"0-{_CORES - 1}\n")


def _check_host() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise UserlandError(
            f"expected Linux on x86_64; this is {platform.system()} on {platform.machine()}"
        )
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise UserlandError(f"expected {tool}, as on Debian and Ubuntu; it is not installed")
    if not _KEYRING.exists():
        raise UserlandError(f"expected {_KEYRING}; install debian-archive-keyring")


def _call(command: Sequence[str | Path], what: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise UserlandError(
            f"{what}: expected exit status 0; got {done.returncode}: {last_line(done)}. "
            "The package archive and PyPI must be reachable"
        )
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=default_root())
    arguments = parser.parse_args()
    try:
        userland = prepare(arguments.folder)
    except UserlandError as error:
        sys.exit(f"arm64_setup: {error}")
    print(f"{userland.root}: ai-edge-litert {userland.versions['ai-edge-litert']} for aarch64")


if __name__ == "__main__":
    main()
