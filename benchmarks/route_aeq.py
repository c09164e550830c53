"""The route over AI Edge Quantizer, for ``routes.py``: calibration, recipe, surgery."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from route_files import Runner
from route_ranges import Ranges, cells

from edgecap.contract import SIGNATURE
from edgecap.errors import EdgecapError
from edgecap.flatbuffer import IDENTIFIER, read_graph
from edgecap.interpreter import open_interpreter

_CALIBRATION_FRAMES = 240


def training_frames(material: Any) -> list[np.ndarray]:
    """Ordered sequences of the training's pool."""
    entries = material.pool()
    order = np.random.default_rng(0).permutation(len(entries))
    frames: list[np.ndarray] = []
    for number in order:
        left = _CALIBRATION_FRAMES - sum(map(len, frames))
        if left <= 0:
            break
        frames.append(entries[int(number)].images()[:left])
    return frames


def calibrate(plain: bytes, clips: list[np.ndarray], *, extremes: bool = False) -> Ranges:
    """AEQ's calibration of the float graph, with the states that the graph itself carries.

    Args:
      plain: the float graph. clips: to stream.
      extremes: the least and the largest value ever; else the moving average over frames.
    """
    from ai_edge_quantizer import calibrator, quantizer, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    # Not a generator: AEQ runs through them first, to count.
    samples = []
    runner = Runner(plain)
    for clip in clips:
        runner.reset()
        for image in clip:
            samples.append(runner.given(image))
            runner.step(image)
    given, threads = {SIGNATURE: samples}, os.cpu_count() or 1
    with quiet():
        if not extremes:
            return recipe(quantizer.Quantizer(plain)).calibrate(given, num_threads=threads)
        made = calibrator.Calibrator(
            plain, num_threads=threads, qsv_update_func=qsv_utils.min_max_update
        )
        made.calibrate(given, recipe(recipe_manager.RecipeManager()))
        return made.get_model_qsvs()


def recipe(made: Any) -> Any:
    """int8 everywhere, one scale a channel for convolutions."""
    from ai_edge_quantizer import qtyping

    operators = qtyping.TFLOperationName
    whole = qtyping.QuantGranularity.TENSORWISE
    made.add_static_config(".*", operators.ALL_SUPPORTED, 8, 8)
    made.add_static_config(".*", operators.FULLY_CONNECTED, 8, 8, weight_granularity=whole)
    return made


def aeq(plain: bytes, ranges: Ranges, *, float_cell: bool, float_ends: bool = False) -> bytes:
    """Quantises a float graph.

    Args:
      plain: the float graph. ranges: of its activations.
      float_cell: leave the operators of the cell state float.
      float_ends: leave the inputs and outputs float.
    """
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    made, graph = recipe(quantizer.Quantizer(plain)), read_graph(plain)
    operators, none = qtyping.TFLOperationName, algorithm_manager.AlgorithmName.NO_QUANTIZE
    if float_ends:
        for end in (operators.INPUT, operators.OUTPUT):
            made.update_quantization_recipe(".*", end, algorithm_key=none)
    for operator in (o for island in cells(graph).values() if float_cell for o in island):
        name = re.escape(graph.tensors[operator.outputs[0]].name)
        made.update_quantization_recipe(f"^{name};$", operators.ALL_SUPPORTED, algorithm_key=none)
    with quiet():
        return bytes(made.quantize(ranges, enable_progress_report=False).quantized_model)


def carry_float(model: bytes, names: list[str]) -> bytes:
    """Cuts out what brings a state to int8 for carrying, and back."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    graph = read_graph(model)
    inputs, outputs = graph.signatures[SIGNATURE]
    same: dict[int, int] = {}
    cut = []
    for number, operator in enumerate(graph.operators):
        source, target = operator.inputs[0], operator.outputs[0]
        if operator.name == "DEQUANTIZE" and source in [inputs[name] for name in names]:
            same[source] = target
            cut.append(number)
        if operator.name == "QUANTIZE" and target in [outputs[name] for name in names]:
            same[target] = source
            cut.append(number)
    made = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in made.buffers:
        # AEQ puts the weights of larger models behind the flatbuffer; they come back into it.
        if buffer.offset > 1:
            data = model[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(data, np.uint8), 0, 0
    main = made.subgraphs[0]
    main.operators = [o for number, o in enumerate(main.operators) if number not in cut]
    main.inputs = [same.get(int(i), int(i)) for i in main.inputs]
    main.outputs = [same.get(int(i), int(i)) for i in main.outputs]
    for signature in made.signatureDefs:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = same.get(int(entry.tensorIndex), int(entry.tensorIndex))
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(made.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def float_edges(plain: bytes, ranges: Ranges) -> dict[str, Any]:
    """What AEQ makes where inputs and outputs are left float: operators whose types do not fit."""
    model = aeq(plain, ranges, float_cell=True, float_ends=True)
    graph = read_graph(model)
    mixed = []
    for operator in graph.operators:
        reads, gives = (graph.tensors[i].dtype for i in (operator.inputs[0], operator.outputs[0]))
        converts = operator.name in ("QUANTIZE", "DEQUANTIZE") or "int32" in (reads, gives)
        if reads != gives and not converts:
            mixed.append(f"{operator.name}: {reads} in, {gives} out")
    try:
        open_interpreter(model)
    except EdgecapError as error:
        return {"mixed_operators": mixed, "loads": str(error).strip().splitlines()[0]}
    return {"mixed_operators": mixed, "loads": True}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """AEQ's progress bars are not the result."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield
