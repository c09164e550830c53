"""The contract between conversion and device: what a model expects, gives and carries.

The spec travels inside the model file as ``edgecap.json``. Everything a runtime must know stands
here; nothing is read off the graph by position or by guess.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgecap.caption_spec import CAPTIONING, CaptionSpec
from edgecap.decisions import DecisionSpec as DecisionSpec  # noqa: PLC0414  # a part of the spec
from edgecap.documents import parse_json
from edgecap.errors import SpecError
from edgecap.tensor_spec import DTYPES as DTYPES  # noqa: PLC0414  # likewise
from edgecap.tensor_spec import TensorSpec as TensorSpec  # noqa: PLC0414
from edgecap.tensor_spec import one_of

# Fields and values may join without a new number as long as files that lack them read as before:
# an older edgecap refuses a task or activation that it does not know, in one line that names it.
SPEC_VERSION = 1

#: Task → what the runtime applies to the output's real values. One label a frame; any number of
#: labels a frame; one number a frame for each label.
ACTIVATIONS = {"classification": "softmax", "multilabel": "sigmoid", "regression": "linear"}
TASKS = tuple(ACTIVATIONS)
# Not a task of streams: its outputs are words, and a picture is answered with a sentence.
_CAPTION_ACTIVATION = "log_softmax"
RESIZE_METHODS = ("linear", "area")
FITS = ("stretch", "crop")
COLORS = ("rgb",)
#: The image's grid: real = (u8 − 128) / 127.5, stored as int8 = u8 − 128.
CAMERA_SCALE = 1 / 127.5

# Guards against absurd values in a hostile file; far above anything that runs on a small computer.
_MAX_SIDE = 4096
_MAX_ROUNDS = 1000
_MAX_INTEGER = 1 << 63
_LONGEST_SHOWN = 120


@dataclass(frozen=True)
class InputSpec:
    """How a camera frame becomes the graph's image.

    Attributes:
      tensor: ``(1, H, W, 3)``; int8 with scale 1/127.5 and zero-point 0 (int8 = u8 − 128).
      color: order of the channels in the tensor.
      resize: ``linear`` or ``area`` (OpenCV's INTER_LINEAR, INTER_AREA).
      fit: ``stretch`` the whole frame, or ``crop`` its centre to the input's aspect first.
    """

    tensor: TensorSpec
    color: str = "rgb"
    resize: str = "linear"
    fit: str = "stretch"

    def __post_init__(self) -> None:
        shape = self.tensor.shape
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or max(shape[1:3]) > _MAX_SIDE:
            raise SpecError(f"input: expected a shape of (1, H, W, 3); got {shape}")
        if self.tensor.dtype not in ("int8", "float32"):
            raise SpecError(f"input: expected dtype int8 or float32; got {self.tensor.dtype}")
        camera = math.isclose(self.tensor.scale, CAMERA_SCALE, rel_tol=1e-6)
        if self.tensor.dtype == "int8" and not (camera and self.tensor.zero_point == 0):
            raise SpecError(
                "input: expected the camera's grid, scale 1/127.5 and zero_point 0; got "
                f"{self.tensor.scale} and {self.tensor.zero_point}"
            )
        one_of("input.color", self.color, COLORS)
        one_of("input.resize", self.resize, RESIZE_METHODS)
        one_of("input.fit", self.fit, FITS)

    @property
    def height(self) -> int:
        return self.tensor.shape[1]

    @property
    def width(self) -> int:
        return self.tensor.shape[2]


@dataclass(frozen=True)
class OutputSpec:
    """The graph's answer.

    Attributes:
      tensor: ``(1, labels)``: logits, or the numbers themselves (regression), of any dtype.
      activation: what the runtime applies to the real values: ``softmax``, ``sigmoid``,
        ``linear`` (nothing) or ``log_softmax`` (captions); it follows from the task.
    """

    tensor: TensorSpec
    activation: str = "softmax"

    def __post_init__(self) -> None:
        allowed = (*ACTIVATIONS.values(), _CAPTION_ACTIVATION)
        one_of("output.activation", self.activation, allowed)
        if len(self.tensor.shape) != 2 or self.tensor.shape[0] != 1:
            raise SpecError(f"output: expected a shape of (1, labels); got {self.tensor.shape}")


@dataclass(frozen=True)
class GoldenSpec:
    """How closely another machine must repeat the recorded outputs.

    Attributes:
      tolerance: largest difference allowed of an output, in steps of its grid (see
        :func:`edgecap.golden.steps_apart` for float outputs). Kernels differ in how they round
        ties, and in the last bits of the float cell state.
      reason: why it is this number.
      rounds: how often the recorded frames are played, one round after the other.
    """

    tolerance: int
    reason: str
    rounds: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= _MAX_ROUNDS:
            raise SpecError(f"golden.rounds: expected 1 to {_MAX_ROUNDS}; got {self.rounds}")
        if not 0 <= self.tolerance <= 255:
            raise SpecError(f"golden.tolerance: expected 0 to 255 steps; got {self.tolerance}")


@dataclass(frozen=True)
class ModelSpec:
    """Everything a runtime must know of a model.

    Attributes:
      name: for people.
      task: what the outputs mean: ``classification``, ``multilabel``, ``regression`` or
        ``captioning``.
      rate_hz: frames a second that the model was trained at; of captions, those that a live
        picture is shown at.
      labels: one per output, unique: the classes, for regression the names of the numbers, for
        captions the words.
      input, states, output: the ``step`` signature. Each state has this name on both sides; there
        may be any number of them, of any rank and size.
      decision: how scores become events.
      golden: tolerance of the recorded outputs.
      recipe: what is quantised how.
      caption: how sentences are made of words, for captions alone.
      provenance: where the model comes from: data, command, seed, metrics, versions.
      digests: SHA-256 of the flatbuffer (``model``) and of each member of the zip tail but the
        spec itself; filled in when the file is written.
    """

    name: str
    task: str
    rate_hz: float
    labels: tuple[str, ...]
    input: InputSpec
    states: tuple[TensorSpec, ...]
    output: OutputSpec
    decision: DecisionSpec
    golden: GoldenSpec
    recipe: str
    caption: CaptionSpec | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("task", self.task, (*TASKS, CAPTIONING))
        if (self.caption is not None) != (self.task == CAPTIONING):
            raise SpecError(f"caption: expected it for {CAPTIONING}, and for nothing else")
        if not (math.isfinite(self.rate_hz) and 0 < self.rate_hz <= 1000):
            raise SpecError(f"rate_hz: expected above 0, at most 1000; got {self.rate_hz}")
        check_labels(self.labels)
        if not self.name.isprintable() or not self.recipe.isprintable():
            raise SpecError("name and recipe: expected printable text")
        expected = ACTIVATIONS.get(self.task, _CAPTION_ACTIVATION)
        if self.output.activation != expected:
            raise SpecError(
                f"output.activation: expected {expected} for {self.task}; "
                f"got {self.output.activation!r}"
            )
        outputs = self.output.tensor.shape[1]
        if len(self.labels) != outputs:
            raise SpecError(
                f"labels: the model gives {outputs} numbers, but {len(self.labels)} labels are "
                "given"
            )
        background = self.decision.background
        if self.task == "regression" and (background is not None or self.decision.per_label):
            name = "per_label" if background is None else "background"
            raise SpecError(
                f"decision.{name}: expected none for regression; got "
                f"{getattr(self.decision, name)!r}"
            )
        self.decision.check_labels(self.labels)
        names = [state.name for state in self.states]
        if len(set(names)) != len(names):
            raise SpecError(f"states: expected unique names; got {_listed(names)}")
        if self.caption is not None:
            self.caption.check(outputs, names)

    def to_json(self) -> str:
        """The spec as JSON text; :meth:`from_json` reads it back equal.

        Raises:
          SpecError: the provenance holds what JSON cannot say.
        """
        document = {"edgecap": SPEC_VERSION} | dataclasses.asdict(self)
        document["decision"] = self.decision.to_plain()
        if self.caption is None:
            # An edgecap that knows no captions reads all other models as before.
            del document["caption"]
        try:
            return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise SpecError(f"the spec cannot be written as JSON: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Reads and checks a spec.

        Raises:
          SpecError: no JSON object, another version, a field that is missing, unknown, of the
            wrong type or out of range.
        """
        try:
            document = parse_json(text)
        except ValueError as error:
            raise SpecError(f"the spec is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise SpecError(f"the spec: expected a JSON object; got {type(document).__name__}")
        version = document.pop("edgecap", None)
        if version != SPEC_VERSION:
            raise SpecError(
                f"the spec has version {version!r}; this edgecap reads version {SPEC_VERSION}. "
                "Convert the model again, or install the edgecap that made it"
            )
        return from_plain(cls, document, "spec")


def check_labels(labels: Sequence[str]) -> None:
    """Raises ``SpecError`` unless labels are unique and printable on one line."""
    if len(set(labels)) != len(labels):
        raise SpecError(f"labels: expected unique labels; got {_listed(labels)}")
    if not all(label.isprintable() and label.strip() for label in labels):
        raise SpecError(
            "labels: expected printable labels without line breaks or control characters; "
            f"got {_listed(labels)}"
        )


_T = TypeVar("_T")


def from_plain(kind: type[_T], value: Any, where: str) -> _T:
    """Builds a dataclass from parsed JSON or TOML, checking every field's name and type.

    Args:
      kind: a dataclass whose fields are numbers, strings, tuples, mappings, unions with ``None``
        and other such dataclasses.
      value: the parsed document.
      where: what to call it in messages.

    Raises:
      SpecError: a field is missing, unknown or of the wrong type.
    """
    result: _T = _convert(kind, value, where)
    return result


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _convert_fields(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if type(None) in arguments:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _convert(inner, value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise SpecError(f"{where}: expected a list; got {_shown(value)}")
        return tuple(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    expected = dict if origin is not None and issubclass(origin, Mapping) else kind
    if expected is dict and isinstance(value, dict) and dataclasses.is_dataclass(arguments[1]):
        # Names come from a file, and stand in messages.
        return {k: _convert(arguments[1], v, f"{where}[{k[:60]!r}]") for k, v in value.items()}
    if kind in (int, float) and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > _MAX_INTEGER:
            raise SpecError(f"{where}: expected a number of sensible size")
        value = kind(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool):
        raise SpecError(f"{where}: expected {expected.__name__}; got {_shown(value)}")
    return value


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    """Of each field; annotations are text until they are looked up."""
    return typing.get_type_hints(kind)


def _convert_fields(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise SpecError(f"{where}: expected an object; got {_shown(value)}")
    types = _types(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise SpecError(f"{where}: unknown {_listed(unknown)}; expected one of {', '.join(fields)}")
    converted = {}
    for name, spec in fields.items():
        if name in value:
            converted[name] = _convert(types[name], value[name], f"{where}.{name}")
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise SpecError(f"{where}: {name} is missing")
    return kind(**converted)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _listed(names: Iterable[str]) -> str:
    """Names from a file, safe to show: quoted, line breaks escaped, not too many."""
    shown = [repr(name[:60]) for name in itertools.islice(names, 12)]
    return ", ".join(shown)
