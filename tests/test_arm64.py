"""An emulated Raspberry Pi (4: A72, 5: A76) beside this machine, byte for byte, on XNNPACK.

The userland is set up once, without root; each processor runs every model in one process:

    python benchmarks/arm64_setup.py FOLDER && EDGECAP_ARM64_ROOT=FOLDER pytest tests/test_arm64.py

Outputs and every state are equal, byte for byte, frame after frame. That is no accident: XNNPACK's
product of two int8 tensors rounds halves to even on x86-64 and up on Arm, and the grids of the
recurrent step are chosen so that there are none (``edgecap_convert.quantization.grids``); and
SOFTMAX is that of 16 bits, the same everywhere (``edgecap_convert.export.integer_softmax``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgecap.bundle import Bundle, Golden, write_bundle
from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.flatbuffer import read_graph
from edgecap.golden import replay
from edgecap.spec import DecisionSpec, GoldenSpec, InputSpec, ModelSpec, OutputSpec
from edgecap.streaming import StreamingModel

pytestmark = pytest.mark.arm64

_VARIABLE = "EDGECAP_ARM64_ROOT"
_BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
_FRAMES = 200

#: The state that tells an attending neck whether there was a frame before.
RUNNING = "running"
CPUS = ("cortex-a72", "cortex-a76")
DEMO = "gestures-demo"
#: Recipe → what its cell state is kept in.
CELLS = {"int8": "float32", "int8-int16": "int16", "int8-full": "int8"}
#: What looks at a place and back in time, with one SOFTMAX for each: recipe by recipe again.
ATTENDING = {f"attending-{recipe}": recipe for recipe in CELLS}
MODELS = (DEMO, *CELLS, *ATTENDING)


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """``benchmarks/emulated_pi.py``, which sets up and compares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_BENCHMARKS))
        import emulated_pi

        yield emulated_pi


@pytest.fixture(scope="module")
def userland(benchmark: ModuleType) -> Any:
    """The emulated Debian that the variable names."""
    root = os.environ.get(_VARIABLE)
    if not root:
        pytest.skip(f"set {_VARIABLE} to a folder made by benchmarks/arm64_setup.py")
    import arm64_userland

    if not (Path(root) / "bin" / arm64_userland.QEMU).exists() and not shutil.which(
        arm64_userland.QEMU
    ):
        pytest.skip(f"needs {arm64_userland.QEMU}; run benchmarks/arm64_setup.py")
    return arm64_userland.open_userland(Path(root))


@pytest.fixture(scope="module")
def paths(demo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The packaged model, and a small one of each integer recipe: MobileNetV2, α = 0.35, 64 px."""
    pytest.importorskip("tensorflow", reason="needs the extra 'convert'")
    from tests.convert.test_network import MEMORIES, NECKS, lively_network, scenes

    folder = tmp_path_factory.mktemp("models")
    network, images = lively_network(), scenes(2, 12)
    made = {DEMO: demo_path}
    for recipe, cell in CELLS.items():
        made[recipe] = folder / f"{recipe}.tflite"
        convert(network, images, recipe, cell, made[recipe])
    attending = lively_network(8, NECKS["attend to motion"], MEMORIES["attention"])
    for name, recipe in ATTENDING.items():
        made[name] = folder / f"{name}.tflite"
        convert(attending, images, recipe, CELLS[recipe], made[name])
    return made


@pytest.fixture(scope="module")
def compared(
    benchmark: ModuleType, userland: Any, paths: dict[str, Path]
) -> dict[tuple[str, str], Any]:
    """(Model, processor) → how it ran here and there."""
    rows = benchmark.compare(list(paths.values()), userland, CPUS, frames=_FRAMES)
    return {(row.model.stem, row.cpu): row for row in rows}


def convert(network: Any, images: np.ndarray, recipe: str, cell: str, path: Path) -> None:
    """Calibrates along ordered frames and writes a model file; nothing is trained."""
    import tensorflow as tf
    from edgecap_convert.export.graph import IMAGE, LOGITS, convert_step
    from edgecap_convert.models.network import normalize

    quantized = network.quantized(cell=cell)
    for _ in range(4):
        quantized.clip(normalize(tf.constant(images)), training=True)
    quantized.schedule.freeze()
    flat = convert_step(quantized)
    graph = read_graph(flat)
    inputs, outputs = graph.signatures[SIGNATURE]
    logits = tensor_spec(LOGITS, graph.tensors[outputs[LOGITS]])
    spec = ModelSpec(
        name=recipe,
        task="classification",
        rate_hz=12.0,
        labels=tuple(f"label {number}" for number in range(logits.shape[1])),
        input=InputSpec(tensor_spec(IMAGE, graph.tensors[inputs[IMAGE]])),
        states=tuple(
            tensor_spec(name, graph.tensors[inputs[name]]) for name in network.state_shapes()
        ),
        output=OutputSpec(logits),
        decision=DecisionSpec(),
        golden=GoldenSpec(16, "as the packaged model's", 5),
        recipe=recipe,
    )
    frames = images[0, ::3]
    bare = Bundle(flat, graph, spec, Golden(frames[:0], {}), "")
    golden = Golden(frames, {"xnnpack": replay(StreamingModel(bare), frames, rounds=5)})
    write_bundle(path, model=flat, spec=spec, golden=golden, card="# untrained\n")


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("model", MODELS)
def test_both_ran_every_frame_on_the_default_kernels(
    model: str, cpu: str, compared: dict[tuple[str, str], Any]
) -> None:
    row = compared[model, cpu]
    assert row.here.backend == row.there.backend
    assert row.here.backend.startswith("litert")
    assert "xnnpack" in row.here.backend
    for name in ("output", *(state.name for state in row.spec.states)):
        values = row.there.arrays[name]
        assert len(values) == len(row.here.arrays[name]) == _FRAMES
        assert values.dtype == row.here.arrays[name].dtype
        if name == RUNNING:
            # 0 before the first frame and 1 ever after.
            continue
        varied = np.ptp(values.reshape(_FRAMES, -1).astype(np.float64), axis=0) > 0
        assert varied.mean() > 0.5, f"{name} must vary for this to mean anything"


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("model", MODELS)
def test_arm_gives_the_bytes_of_x86(
    model: str, cpu: str, compared: dict[tuple[str, str], Any]
) -> None:
    row = compared[model, cpu]
    assert row.equal, row.verdict()


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("model", MODELS)
def test_the_recorded_outputs_are_repeated_on_arm(
    model: str, cpu: str, compared: dict[tuple[str, str], Any]
) -> None:
    golden = compared[model, cpu].there.golden
    assert golden["passed"], golden
    assert golden["largest"] == 0, golden


@pytest.mark.parametrize("cpu", CPUS)
def test_verify_and_run_say_there_what_they_say_here(
    cpu: str, userland: Any, demo_path: Path
) -> None:
    import emulated_commands

    done = emulated_commands.run_commands(demo_path, userland, cpu, frames=60)
    assert done.verified["passed"] and done.verified["largest"] == 0
    assert done.events >= 2, "without events, equal lines would say little"
    assert len(done.here) == 60
    assert done.equal, done.verdict()


def test_the_packaged_model_sees_gestures(compared: dict[tuple[str, str], Any]) -> None:
    answers = compared[DEMO, CPUS[0]].there.arrays["output"].argmax(axis=1)
    assert len(set(answers.tolist())) > 2, "one answer throughout would be equal by chance"
