"""Flatbuffers whose digests are right and whose tables are hostile: refused before native code."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecap
from edgecap import operators
from edgecap.bundle import parse_bundle, write_bundle
from edgecap.captioning import CaptionModel
from edgecap.errors import BackendError, EdgecapError, ModelFileError, SpecError
from edgecap.flatbuffer import read_graph
from edgecap.graph_checks import check_tables
from edgecap.interpreter import open_interpreter
from edgecap.schema import OPTIONS
from edgecap.steps import WholeStep
from edgecap.streaming import StreamingModel
from tests.handmade import model as handmade

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
flatbuffers = pytest.importorskip("flatbuffers")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
INT32 = np.int32


@pytest.fixture(scope="module")
def objects(demo_model: StreamingModel) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(demo_model.bundle.model, 0))


@pytest.fixture(scope="module")
def mutations() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("mutations")
    for name in ("mutations", "mutations_forged"):
        del sys.modules[name]


def packed(model: Any) -> bytes:
    writer = flatbuffers.Builder(1 << 19)
    writer.Finish(model.Pack(writer), file_identifier=b"TFL3")
    return bytes(writer.Output())


def operator(model: Any, name: str) -> Any:
    """The first operator of that name."""
    number = getattr(schema.BuiltinOperator, name)
    return next(
        each
        for each in model.subgraphs[0].operators
        if model.operatorCodes[each.opcodeIndex].builtinCode == number
    )


def tensor(model: Any, name: str, side: str, place: int) -> Any:
    return model.subgraphs[0].tensors[getattr(operator(model, name), side)[place]]


def put(model: Any, name: str, side: str, place: int, index: int) -> None:
    values = np.array(getattr(operator(model, name), side), INT32)
    values[place] = index
    setattr(operator(model, name), side, values)


def options(model: Any, name: str, **values: Any) -> None:
    for field, value in values.items():
        setattr(operator(model, name).builtinOptions, field, value)


def constant(model: Any, name: str, place: int, values: list[int]) -> None:
    buffer = model.buffers[tensor(model, name, "inputs", place).buffer]
    buffer.data = np.frombuffer(np.array(values, INT32).tobytes(), np.uint8)


def code(model: Any, name: str, number: int) -> None:
    entry = model.operatorCodes[operator(model, name).opcodeIndex]
    entry.builtinCode, entry.deprecatedBuiltinCode = number, min(number, 127)


def scales(model: Any, name: str, values: list[float]) -> None:
    quantization = tensor(model, name, "inputs", 0).quantization
    quantization.scale = np.array(values, np.float32)
    quantization.zeroPoint = np.zeros(len(values), np.int64)


def no_quantization(model: Any) -> None:
    tensor(model, "CONV_2D", "inputs", 1).quantization = None


def sparse(model: Any) -> None:
    tensor(model, "CONV_2D", "inputs", 1).sparsity = schema.SparsityParametersT()


def outside(model: Any) -> None:
    model.buffers[-1].data, model.buffers[-1].offset, model.buffers[-1].size = None, 64, 1 << 40


def short_weights(model: Any) -> None:
    buffer = model.buffers[tensor(model, "CONV_2D", "inputs", 1).buffer]
    buffer.data = buffer.data[:-1]


def other_kernel(model: Any) -> None:
    """As many weights, in an order that does not fit the picture's channels."""
    kernel = tensor(model, "CONV_2D", "inputs", 1)
    out, high, wide, channels = kernel.shape
    kernel.shape = np.array([out, channels * high, wide, 1], INT32)


def dtype(model: Any, name: str, side: str, place: int, number: int) -> None:
    tensor(model, name, side, place).type = number


def half_computed(model: Any) -> None:
    """Only constants may be float16: what reads them without opening them would read on."""
    found = tensor(model, "TANH", "outputs", 0)
    found.type, found.quantization = schema.TensorType.FLOAT16, None


def float_bias(model: Any) -> None:
    """As many bytes as the int32 that the kernel reads."""
    found = tensor(model, "CONV_2D", "inputs", 2)
    found.type, found.quantization = schema.TensorType.FLOAT32, None


def by_row(model: Any) -> None:
    """Scales along another dimension than that of the layer's channels, and fewer."""
    found = tensor(model, "CONV_2D", "inputs", 1)
    found.quantization.quantizedDimension = 1
    found.quantization.scale = found.quantization.scale[: found.shape[1]]
    found.quantization.zeroPoint = found.quantization.zeroPoint[: found.shape[1]]


def by_channel(model: Any) -> None:
    """Of what is computed kernels take one scale, and 0 where there are several."""
    found = tensor(model, "ADD", "inputs", 0)
    number = found.shape[-1]
    found.quantization.scale = np.full(number, 0.1, np.float32)
    found.quantization.zeroPoint = np.zeros(number, np.int64)
    found.quantization.quantizedDimension = len(found.shape) - 1


def fine_result(model: Any) -> None:
    """Kernels of int16 sums abort at this ratio, those of int8 at 2^19."""
    given = tensor(model, "ADD", "inputs", 0).quantization
    tensor(model, "ADD", "outputs", 0).quantization.scale = given.scale * np.float32(2.0**-14)


def shape(model: Any, values: list[int]) -> None:
    tensor(model, "CONV_2D", "outputs", 0).shape = np.array(values, INT32)


def no_options(model: Any) -> None:
    operator(model, "CONV_2D").builtinOptions = None


def others_options(model: Any) -> None:
    other, conv = operator(model, "SPLIT"), operator(model, "CONV_2D")
    conv.builtinOptions, conv.builtinOptionsType = other.builtinOptions, other.builtinOptionsType


def custom(model: Any) -> None:
    operator(model, "CONV_2D").customOptions = np.zeros(8, np.uint8)


def no_bias(model: Any) -> None:
    conv = operator(model, "CONV_2D")
    conv.inputs = conv.inputs[:2]


def other_output(model: Any) -> None:
    """The signature's output is then no longer kept apart from what else is computed."""
    graph = model.subgraphs[0]
    graph.outputs = np.array([operator(model, "ADD").outputs[0], *graph.outputs[1:]], INT32)


def no_outputs(model: Any) -> None:
    operator(model, "SPLIT").outputs = np.zeros(0, INT32)


def backwards(model: Any) -> None:
    model.subgraphs[0].operators.reverse()


def twice(model: Any) -> None:
    model.signatureDefs.append(copy.deepcopy(model.signatureDefs[0]))


def third_subgraph(model: Any) -> None:
    model.subgraphs += [model.subgraphs[0]] * 2


def metadata(model: Any) -> None:
    entry = schema.MetadataT()
    entry.name, entry.buffer = "min_runtime_version", 1 << 20
    model.metadata = [entry]


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "input-far": (lambda m: put(m, "CONV_2D", "inputs", 0, 1 << 20), "reads tensor 1048576"),
    "input-none": (lambda m: put(m, "CONV_2D", "inputs", 1, -1), "reads tensor -1"),
    "output-far": (lambda m: put(m, "ADD", "outputs", 0, -7), "writes tensor -7"),
    "output-input": (lambda m: put(m, "ADD", "outputs", 0, 0), "has its value already"),
    "outputs-none": (no_outputs, "SPLIT, has 2 inputs and 0 outputs"),
    "operators-backwards": (backwards, "holds nothing by then"),
    "code-while": (lambda m: code(m, "ADD", 119), "operator 119 of the schema"),
    "code-custom": (lambda m: code(m, "ADD", 32), "operator 32 of the schema"),
    "code-other": (lambda m: code(m, "SPLIT", 55), "MAXIMUM, needs MaximumMinimum options"),
    "buffer-far": (
        lambda m: setattr(tensor(m, "CONV_2D", "inputs", 1), "buffer", 1 << 20),
        "names buffer 1048576",
    ),
    "buffer-short": (short_weights, r"takes \d+ bytes; its buffer holds"),
    "buffer-outside": (outside, "Buffer: it has a field"),
    "shape-negative": (lambda m: shape(m, [1, -8, 8, 8]), "sizes of 1 or more"),
    "shape-huge": (lambda m: shape(m, [1, 1 << 20, 1 << 20, 8]), r"takes \d+ bytes"),
    "shape-rank": (lambda m: shape(m, [1] * 7), "at most 6 sizes"),
    "shape-other": (lambda m: shape(m, [1, 48, 48, 9]), "CONV_2D, gives"),
    "kernel-other": (other_kernel, r"CONV_2D, gives \(1, 48, 48, 16\) of .*, \(16, 9, 3, 1\)"),
    "dtype-string": (lambda m: setattr(tensor(m, "ADD", "inputs", 0), "type", 5), "dtype 5"),
    "dtype-other": (lambda m: dtype(m, "ADD", "inputs", 0, 3), "CONV_2D, gives uint8 of int8"),
    "dtype-half": (half_computed, "float16 and no constant"),
    "bias-float": (float_bias, "CONV_2D, gives int8 of int8, int8 by channel, float32"),
    "scales-along": (by_row, "CONV_2D, gives int8 of int8, int8 by channel, int32 by channel"),
    "scales-computed": (by_channel, "CONV_2D, gives int8 by channel of"),
    "sparse": (sparse, "Tensor: it has a field 6"),
    "scale-missing": (no_quantization, "int8 without a scale"),
    "scale-zero": (lambda m: scales(m, "ADD", [0.0]), "no number above 0"),
    "scale-nan": (lambda m: scales(m, "ADD", [float("nan")]), "no number above 0"),
    "scales-many": (lambda m: scales(m, "ADD", [1.0, 1.0]), "has 2 scales along dimension"),
    "stride-zero": (lambda m: options(m, "CONV_2D", strideW=0), "stride_w of 0"),
    "stride-huge": (lambda m: options(m, "CONV_2D", strideH=1 << 30), "stride_h of"),
    "dilation-zero": (lambda m: options(m, "CONV_2D", dilationWFactor=0), "dilation_w of 0"),
    "activation": (
        lambda m: options(m, "ADD", fusedActivationFunction=100),
        "unknown activation",
    ),
    "bias-none": (no_bias, "CONV_2D, has 2 inputs"),
    "output-other": (other_output, "names other outputs than subgraph 0 has"),
    "scale-huge": (lambda m: scales(m, "ADD", [3e38]), "gives a scale of"),
    "scale-fine": (fine_result, "ADD, gives a scale of"),
    "splits-many": (lambda m: options(m, "SPLIT", numSplits=255), "splits into 255"),
    "splits-negative": (lambda m: options(m, "SPLIT", numSplits=-1), "splits into -1"),
    "axis": (lambda m: constant(m, "SPLIT", 0, [1 << 20]), "has axis"),
    "options-none": (no_options, "needs Conv2D options"),
    "options-other": (others_options, "needs Conv2D options"),
    "options-custom": (custom, "Operator: it has a field 5"),
    "metadata": (metadata, "its metadata names buffer"),
    "signature-twice": (twice, "is there twice"),
    "subgraphs": (third_subgraph, "expected at most 2 subgraphs; found 3"),
}


def test_operators_and_their_options_have_the_schemas_numbers() -> None:
    numbers = vars(schema.BuiltinOperator)
    options = {number: name for name, number in vars(schema.BuiltinOptions).items()}
    for number, kind in operators.OPERATORS.items():
        assert numbers[kind.name] == number
        assert not kind.options or options[kind.options] == f"{OPTIONS[kind.options][0]}Options"


def test_what_the_schemas_own_writer_makes_of_it_is_accepted(objects: Any) -> None:
    check_tables(packed(objects))


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_models_with_other_operators_and_states_are_accepted(tmp_path: Path, task: str) -> None:
    check_tables(handmade(tmp_path / "m.tflite", task, "int16").bundle.model)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_table_is_refused(objects: Any, case: str) -> None:
    edit, told = HOSTILE[case]
    changed = copy.deepcopy(objects)
    edit(changed)
    with pytest.raises(ModelFileError, match=told):
        check_tables(packed(changed))


def test_a_variable_that_hides_in_the_graph_is_refused(
    objects: Any, demo_model: StreamingModel, mutations: Any
) -> None:
    """By the contract, which is asked before the interpreter."""
    changed = copy.deepcopy(objects)
    tensor(changed, "ADD", "outputs", 0).isVariable = True
    data = packed(changed)
    check_tables(data)
    with pytest.raises(EdgecapError, match="hidden state"):
        StreamingModel(parse_bundle(file_with(data, demo_model, mutations)))


def file_with(flatbuffer: bytes, model: StreamingModel, mutations: Any) -> bytes:
    """The demo's file with another flatbuffer, digests right."""
    source = importlib.import_module("edgecap.assets").resolve_model("demo").read_bytes()
    _, members = mutations.forged.parts(source)
    made: bytes = mutations.forged.put_together(flatbuffer, members)
    return made


def test_shapes_that_the_operators_do_not_give_are_refused(tmp_path: Path) -> None:
    """The carried memory loses a row, whatever the table says; only the kernels work that out."""
    bundle = handmade(tmp_path / "m.tflite", "regression").bundle
    changed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bundle.model, 0))
    constant(changed, "STRIDED_SLICE", 2, [1, 3, 3])
    data = packed(changed)
    check_tables(data)
    hostile = dataclasses.replace(bundle, model=data, graph=read_graph(data))
    with pytest.raises(SpecError, match=r"the file says \(1, 4, 3\), its operators give"):
        StreamingModel(hostile)


def test_a_layer_whose_weights_are_almost_nothing_is_accepted(objects: Any) -> None:
    """It gives steps far finer than it reads; what kernels scale by is no more than before."""
    changed = copy.deepcopy(objects)
    fine = np.float32(2.0**-15)
    for side, place in (("inputs", 1), ("outputs", 0)):
        of = tensor(changed, "CONV_2D", side, place).quantization
        of.scale = of.scale * fine
    given, told = (tensor(changed, "CONV_2D", s, 0).quantization for s in ("inputs", "outputs"))
    assert given.scale[0] > 2**13 * told.scale[0]
    data = packed(changed)
    assert check_tables(data).tensors
    open_interpreter(data)
    # The same from weights as they were: more than kernels are known to scale by.
    told.scale = told.scale * fine * fine
    with pytest.raises(ModelFileError, match="CONV_2D, gives a scale of"):
        check_tables(packed(changed))


class _Refusing:
    """An interpreter that finds out late that it cannot run a model, as XNNPACK does."""

    def __getattr__(self, name: str) -> Any:
        if name in ("invoke", "get_signature_runner"):
            raise RuntimeError("XNNPack delegate failed to prepare")
        return lambda *_: None


def test_a_runtime_that_refuses_at_the_first_step_is_a_backend_error(demo_path: Path) -> None:
    model = edgecap.load(demo_path)
    assert isinstance(model._step, WholeStep)
    model._step.interpreter = _Refusing()
    size = (model.spec.input.height, model.spec.input.width, 3)
    with pytest.raises(BackendError, match="cannot run this model: XNNPack delegate failed"):
        model.stream().step(np.zeros(size, np.uint8))


def test_a_runtime_that_refuses_an_encoder_of_captions_is_a_backend_error(
    demo_model: StreamingModel,
) -> None:
    model = CaptionModel.__new__(CaptionModel)
    model._interpreter, model._backend = _Refusing(), demo_model.backend
    with pytest.raises(BackendError, match="cannot run this model: XNNPack delegate failed"):
        model._run_encode({})


def test_such_a_file_is_neither_written_nor_read(
    objects: Any, demo_model: StreamingModel, mutations: Any, tmp_path: Path
) -> None:
    changed = copy.deepcopy(objects)
    short_weights(changed)
    data, bundle = packed(changed), demo_model.bundle
    path = tmp_path / "m.tflite"
    with pytest.raises(ModelFileError, match="must not be run"):
        write_bundle(path, model=data, spec=bundle.spec, golden=bundle.golden, card="")
    assert not path.exists()
    with pytest.raises(ModelFileError, match="must not be run"):
        parse_bundle(file_with(data, demo_model, mutations))


def test_a_text_without_an_end_is_refused(demo_model: StreamingModel) -> None:
    """Native code would read a name on to the next zero byte, wherever that is."""
    model = bytearray(demo_model.bundle.model)
    name = read_graph(bytes(model)).tensors[3].name.encode()
    at = model.find(name)
    assert model[at + len(name)] == 0
    model[at + len(name)] = 65
    with pytest.raises(ModelFileError, match="does not end"):
        check_tables(bytes(model))


def test_tables_that_are_pointed_to_many_times_are_bounded() -> None:
    """80 kilobytes that claim 10,000 subgraphs of 10,000 tensors each, all of them the same."""
    number = 10_000
    file = bytearray(struct.pack("<I4s", 40, b"TFL3"))
    # Their vtables: a model with subgraphs, a subgraph with tensors, an empty tensor.
    file += struct.pack("<5H3H2H", 10, 8, 0, 0, 4, 6, 8, 4, 4, 4) + bytes(12)
    # Offsets lead forwards: model, its vector, the subgraph, its vector, the tensor.
    subgraph = 40 + 8 + 4 + 4 * number
    tensor_at = subgraph + 8 + 4 + 4 * number
    for vtable, at, target in ((8, 40, subgraph), (18, subgraph, tensor_at)):
        file += struct.pack("<iII", at - vtable, 4, number)
        for index in range(number):
            file += struct.pack("<I", target - (at + 12 + 4 * index))
    file += struct.pack("<i", tensor_at - 24)
    with pytest.raises(ModelFileError, match="more than 65536 tables"):
        check_tables(bytes(file))


_LOADER = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import edgecap, mutations
from edgecap.assets import resolve_model
from edgecap.errors import EdgecapError
from pathlib import Path
resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
data, refused = resolve_model("demo").read_bytes(), 0
path = Path(sys.argv[2])
for kind in mutations.KINDS:
    for seed in range(5000, 5000 + int(sys.argv[3])):
        path.write_bytes(mutations.mutate(data, kind, seed))
        try:
            edgecap.load(path).stream()
        except EdgecapError:
            refused += 1
print(refused)
"""


def test_mutants_of_every_class_are_refused_or_run(tmp_path: Path) -> None:
    """A sample of benchmarks/mutants.py, whose seeds that campaign does not reach."""
    number = 6
    done = subprocess.run(
        [sys.executable, "-c", _LOADER, str(BENCHMARKS), str(tmp_path / "m.tflite"), str(number)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 7 * number
