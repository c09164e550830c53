"""Every tensor of a file beside that of its float twin, while both stream the same frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.flatbuffer import Graph, read_graph
from edgecap.interpreter import open_interpreter
from edgecap.quantization import dequantize, reset_value
from edgecap.spec import ModelSpec, TensorSpec
from edgecap.streaming import StreamingModel
from edgecap_convert.export.twin import operator_parts, put_back

# The plain kernels: XNNPACK keeps its tensors to itself.
_KERNELS = "builtin"
_LIMITS = {"int8": (-128, 127), "int16": (-32768, 32767)}
# Beyond the end by less than this, in steps, a value is only rounded.
_BEYOND = 1.0
#: What silence is told as, in dB.
LOUDEST = 99.0

_Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Probe:
    """One quantised tensor along a stream, against its float twin.

    Attributes:
      index: its number in the file. name, part, operator: what gives it.
      spec: its grid.
      signal, noise: ``(N,)`` float64, summed squares of the twin's values and of the difference.
      clipped: share of the values that lie beyond the grid.
      clip_noise: what only the clipping of the twin's values leaves, summed squares.
      used: share of the grid's range that the twin's values take, at most 1.
      read: numbers of the probed tensors that it is computed from.
    """

    index: int
    name: str
    part: str
    operator: str
    spec: TensorSpec
    signal: npt.NDArray[np.float64]
    noise: npt.NDArray[np.float64]
    clipped: float
    clip_noise: float
    used: float
    read: tuple[int, ...]

    @property
    def snr_db(self) -> float:
        """Signal-to-noise over the whole stream."""
        return decibels(self.signal.sum(), self.noise.sum())

    @property
    def clip_snr_db(self) -> float:
        """What it would be if nothing but clipping were wrong."""
        return decibels(self.signal.sum(), self.clip_noise)

    @property
    def wasted_bits(self) -> float:
        """By how many bits finer the grid could be."""
        return float(-np.log2(max(self.used, 2.0**-8)))

    def course_db(self, parts: int) -> list[float]:
        """Signal-to-noise in so many equal stretches of the stream."""
        signal, noise = (np.array_split(x, parts) for x in (self.signal, self.noise))
        return [decibels(s.sum(), n.sum()) for s, n in zip(signal, noise, strict=True)]


def decibels(signal: float, noise: float) -> float:
    """10·log10(signal / noise), at most LOUDEST."""
    if noise <= 0 or signal / max(noise, 1e-300) > 10 ** (LOUDEST / 10):
        return LOUDEST
    return float(10 * np.log10(max(signal, 1e-300) / noise))


def probe(model: StreamingModel, images: _Images) -> list[Probe]:
    """Streams frames through an integer file and its float twin, each with its own state.

    Args:
      model: of an integer recipe. images: ``(N, H, W, 3)`` uint8 of consecutive frames.

    Returns:
      One probe for each tensor that an operator gives, in the order of the computation.
    """
    graph, data = model.bundle.graph, model.bundle.model
    twin = put_back(data, graph)
    sides = [_Side(data, graph, model.spec), _Side(twin.model, read_graph(twin.model), model.spec)]
    watched = [_Watched(index, graph, twin.same[index]) for index in _given(graph, twin.same)]
    for image in images:
        for side in sides:
            side.step(image)
        for each in watched:
            each.look(sides[0].get(each.index), sides[1].get(each.real))
    return _probes(graph, watched)


def _given(graph: Graph, same: dict[int, int]) -> list[int]:
    found = []
    for operator in graph.operators:
        for index in operator.outputs:
            tensor = graph.tensors[index]
            if index in same and tensor.dtype in _LIMITS and len(tensor.scales) == 1:
                found.append(index)
    return found


def _probes(graph: Graph, watched: list[_Watched]) -> list[Probe]:
    makers = {
        index: (operator, part)
        for operator, part in zip(graph.operators, operator_parts(graph), strict=True)
        for index in operator.outputs
    }
    known = {each.index for each in watched}

    def source(index: int) -> int:
        """What a CAST, which is no tensor to compare, hands on."""
        maker = makers.get(index)
        return maker[0].inputs[0] if maker is not None and maker[0].name == "CAST" else index

    probes = []
    for each in watched:
        operator, part = makers[each.index]
        read = tuple(i for i in map(source, operator.inputs) if i in known)
        probes.append(each.told(graph.tensors[each.index].name, part, operator.name, read))
    return probes


class _Side:
    """One of the two, with its state."""

    def __init__(self, model: bytes, graph: Graph, spec: ModelSpec) -> None:
        self._interpreter, _ = open_interpreter(model, kernels=_KERNELS, keep_all=True)
        inputs, outputs = graph.signatures[SIGNATURE]
        self._image = inputs[spec.input.tensor.name]
        self._states = [(inputs[s.name], outputs[s.name]) for s in spec.states]
        self._carried: list[npt.NDArray[Any]] = []
        for state in spec.states:
            own = tensor_spec(state.name, graph.tensors[inputs[state.name]])
            self._carried.append(np.full(own.shape, reset_value(own), own.dtype))

    def step(self, image: npt.NDArray[np.uint8]) -> None:
        # The image's grid: int8 = u8 − 128.
        self._interpreter.set_tensor(self._image, (image ^ 0x80).view(np.int8)[None])
        for (given, _), value in zip(self._states, self._carried, strict=True):
            self._interpreter.set_tensor(given, value)
        self._interpreter.invoke()
        self._carried = [self.get(following) for _, following in self._states]

    def get(self, index: int) -> npt.NDArray[Any]:
        return self._interpreter.get_tensor(index)


class _Watched:
    """Sums up what a tensor and its twin hold."""

    def __init__(self, index: int, graph: Graph, real: int) -> None:
        self.index, self.real = index, real
        self._spec = tensor_spec(graph.tensors[index].name, graph.tensors[index])
        self._signal: list[float] = []
        self._noise: list[float] = []
        self._clipped = self._values = 0
        self._clip_noise = 0.0
        self._lowest = self._highest = 0.0
        low, high = _LIMITS[self._spec.dtype]
        zero = self._spec.zero_point
        self._low, self._high = (self._spec.scale * (end - zero) for end in (low, high))

    def look(self, stored: npt.NDArray[Any], real: npt.NDArray[np.float32]) -> None:
        wanted = real.astype(np.float64).ravel()
        found = dequantize(stored, self._spec).astype(np.float64).ravel()
        self._signal.append(float((wanted**2).sum()))
        self._noise.append(float(((found - wanted) ** 2).sum()))
        room = _BEYOND * self._spec.scale
        beyond = (wanted < self._low - room) | (wanted > self._high + room)
        self._clipped += int(beyond.sum())
        self._values += beyond.size
        self._clip_noise += float(((np.clip(wanted, self._low, self._high) - wanted) ** 2).sum())
        self._lowest = min(self._lowest, float(wanted.min()))
        self._highest = max(self._highest, float(wanted.max()))

    def told(self, name: str, part: str, operator: str, read: tuple[int, ...]) -> Probe:
        span = self._high - self._low
        used = min(self._highest, self._high) - max(self._lowest, self._low)
        return Probe(
            index=self.index,
            name=name,
            part=part,
            operator=operator,
            spec=self._spec,
            signal=np.array(self._signal),
            noise=np.array(self._noise),
            clipped=self._clipped / max(self._values, 1),
            clip_noise=self._clip_noise,
            used=float(np.clip(used / span, 0.0, 1.0)),
            read=read,
        )
