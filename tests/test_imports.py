"""Dependencies point one way, and nothing is imported before it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgecap

RUNTIME = Path(edgecap.__file__).parent
CONVERT = RUNTIME.parent / "convert" / "edgecap_convert"
HEAVY = {
    "click",
    "cv2",
    "jinja2",
    "matplotlib",
    "paho",
    "sklearn",
    "tensorflow",
    "tensorflow_model_optimization",
    "tf_keras",
    "tqdm",
}
# What the extra "convert" installs, and what edgecap_convert may therefore import.
OF_CONVERT = (
    "edgecap",
    "edgecap_convert",
    "flatbuffers",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "numpy",
    "sklearn",
    "tensorflow",
    "tensorflow_model_optimization",
    "tf_keras",
    "tomli",
    "tqdm",
)
# These import a module whose name they are given or hold in a table.
_DYNAMIC = {"__init__.py", "capture/device.py", "cli/__init__.py", "extras.py", "interpreter.py"}
_OF_CONVERT = re.compile(r"edgecap_convert(\.\w+)*")


def files(root: Path) -> list[Path]:
    found = sorted(root.rglob("*.py"))
    assert found
    return found


def imported(path: Path, package: str) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, by its full name."""
    inside = [package, *path.relative_to(RUNTIME if package == "edgecap" else CONVERT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def is_of(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def name(path: Path) -> str:
    return path.relative_to(RUNTIME.parent).as_posix()


@pytest.mark.parametrize("path", files(RUNTIME), ids=name)
def test_the_runtime_imports_nothing_that_it_must_not(path: Path) -> None:
    modules = set(imported(path, "edgecap"))
    in_cli = path.is_relative_to(RUNTIME / "cli")
    for module in modules:
        assert not is_of(module, "edgecap_convert", "tensorflow", "tf_keras", "benchmarks")
        assert not is_of(module, "cv2"), "OpenCV comes from extras.require_cv2"
        assert in_cli or not is_of(module, "click")
        assert in_cli or path.name == "__main__.py" or not is_of(module, "edgecap.cli")
        assert is_of(module, "edgecap", "numpy", "click", *sys.stdlib_module_names), module


@pytest.mark.parametrize("path", files(RUNTIME), ids=name)
def test_the_runtime_names_modules_only_where_it_says_so(path: Path) -> None:
    here = path.relative_to(RUNTIME).as_posix()
    for function, _ in calls(path):
        if function.endswith(("import_module", "__import__")):
            assert here in _DYNAMIC
    asked_for = [
        ast.literal_eval(call.args[0])
        for function, call in calls(path)
        if function == "require_convert"
    ]
    assert not asked_for or here.startswith("cli/")
    named = [
        node.value
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert sorted(filter(_OF_CONVERT.fullmatch, named)) == sorted(asked_for)


@pytest.mark.skipif(not CONVERT.is_dir(), reason="edgecap_convert is not beside edgecap here")
def test_conversion_imports_neither_the_cli_nor_the_benchmarks() -> None:
    for path in files(CONVERT):
        for module in imported(path, "edgecap_convert"):
            assert not is_of(module, "edgecap.cli", "click", "benchmarks"), f"{path}: {module}"
            assert is_of(module, *OF_CONVERT, *sys.stdlib_module_names), f"{path}: {module}"


def loaded_after(code: str) -> set[str]:
    """The top-level modules and edgecap's own that a fresh interpreter has after some code."""
    ending = "\nimport sys; print('LOADED', *sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code + ending], capture_output=True, text=True, check=True
    )
    return set(result.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("module", ["config", "material", "runs", "train", "crossval"])
def test_settings_and_data_are_checked_before_tensorflow_is_loaded(module: str) -> None:
    pytest.importorskip("tqdm", reason="needs the extra 'convert'")
    loaded = loaded_after(f"import edgecap_convert.training.{module}")
    assert not loaded & (HEAVY - {"tqdm"})


def test_importing_edgecap_loads_nothing() -> None:
    loaded = loaded_after("import edgecap; edgecap.__version__; dir(edgecap)")
    assert not loaded & (HEAVY | {"numpy", "ai_edge_litert", "json"})
    assert {m for m in loaded if m.startswith("edgecap")} == {"edgecap"}


def test_a_step_loads_neither_opencv_nor_tensorflow_nor_click(demo_path: Path) -> None:
    loaded = loaded_after(
        "import edgecap, numpy as np\n"
        f"model = edgecap.load({str(demo_path)!r})\n"
        "size = (model.spec.input.height, model.spec.input.width, 3)\n"
        "assert model.stream().step(np.zeros(size, np.uint8)).label in model.labels\n"
    )
    assert "numpy" in loaded
    assert not loaded & HEAVY
    assert not any(is_of(m, "edgecap_convert", "edgecap.cli", "edgecap.synthetic") for m in loaded)


def test_a_synthetic_run_needs_no_opencv() -> None:
    loaded = loaded_after(
        "import sys\n"
        "from edgecap.cli import main\n"
        "try: main(['run', 'demo', '--source', 'synthetic:gestures=1', '--quiet'])\n"
        "except SystemExit as end: assert end.code == 0\n"
    )
    assert not loaded & (HEAVY - {"click"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_load_no_numpy(arguments: list[str]) -> None:
    loaded = loaded_after(
        "from edgecap.cli import main\n"
        f"try: main({arguments})\n"
        "except SystemExit as end: assert end.code == 0\n"
    )
    assert "click" in loaded
    assert not loaded & (HEAVY - {"click"} | {"numpy", "ai_edge_litert"})


def test_every_public_name_can_be_imported_and_no_other() -> None:
    for public in edgecap.__all__:
        assert getattr(edgecap, public).__module__.startswith("edgecap.")
    assert set(edgecap.__all__) <= set(dir(edgecap))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        edgecap.lod  # noqa: B018
