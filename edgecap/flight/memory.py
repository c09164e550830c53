"""What a stream remembers, as JSON and arrays: no pickle, and no class is named in the file.

A snapshot is packed as what differs from a fresh one of the same model and settings, and unpacked
onto such a fresh one. So a file can set the values that a stream has, and nothing else.

| in JSON | stands for |
|---|---|
| `null`, `true`, `1`, `0.5`, `"a"` | itself |
| `{"float": "inf"}` | a float that JSON cannot say |
| `{"array": 3}`, `{"number": 3}` | array 3; the NumPy number in it |
| `{"tuple": […]}`, `{"list": […]}`, `{"dict": [[key, value], …]}` | these |
| `{"object": {attribute: value}}` | the fresh object's copy with these attributes |

Where a fresh snapshot has nothing yet, the object is of the class that its field is declared with.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import FlightError
from edgecap.gate import Seen
from edgecap.streaming import Snapshot

Array = npt.NDArray[Any]
#: What ``json`` reads and writes.
Plain = Any

_SCALARS = (bool, int, float, str, type(None))
# Deeper than anything that a stream remembers.
_DEEPEST = 12
# What a stream's module names, and imports no sooner than a gate needs it.
_LATER = {Seen.__name__: Seen}


def pack_snapshot(snapshot: Snapshot, fresh: Snapshot, arrays: list[Array]) -> Plain:
    """A snapshot as plain data.

    Args:
      snapshot: what to pack.
      fresh: of a stream of the same model and settings, in the reset state.
      arrays: what the plain data refers to by number; appended to.

    Raises:
      FlightError: it holds something that cannot be written.
    """
    packed = _pack(snapshot, fresh, arrays, 0)
    return {"object": {name: v for name, v in packed["object"].items() if name != "model"}}


def unpack_snapshot(plain: Plain, fresh: Snapshot, arrays: Sequence[Array]) -> Snapshot:
    """What :func:`pack_snapshot` packed; see there.

    Raises:
      FlightError: the data is not that of such a snapshot.
    """
    try:
        snapshot = _unpack(plain, copy.deepcopy(fresh), arrays, 0)
    except FlightError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise FlightError(f"the recorded state is malformed: {error}") from error
    if not isinstance(snapshot, Snapshot):
        raise FlightError("the recorded state is malformed: it is no snapshot")
    _check_states(snapshot, fresh)
    return snapshot


def _pack(value: Any, fresh: Any, arrays: list[Array], depth: int) -> Plain:
    if depth > _DEEPEST:
        raise FlightError("a stream's state is nested too deeply to be recorded")
    if isinstance(value, _SCALARS):
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": repr(value)}
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        arrays.append(np.asarray(value))
        return {"array" if isinstance(value, np.ndarray) else "number": len(arrays) - 1}
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        alike = isinstance(fresh, (tuple, list)) and len(fresh) == len(value)
        inner = fresh if alike else [None] * len(value)
        return {kind: [_pack(v, f, arrays, depth + 1) for v, f in zip(value, inner, strict=True)]}
    if isinstance(value, dict):
        known = fresh if isinstance(fresh, dict) else {}
        return {
            "dict": [
                [_pack(k, None, arrays, depth + 1), _pack(v, known.get(k), arrays, depth + 1)]
                for k, v in value.items()
            ]
        }
    if type(value) is not type(fresh) and type(value) is not fresh:
        raise FlightError(f"a stream's state holds a {type(value).__name__}, which no tape can")
    known = _known(fresh)
    packed = {}
    for name, inner in _attributes(value).items():
        plain = _pack(inner, known.get(name), arrays, depth + 1)
        # Most of an object is settings, and those are the fresh one's.
        if name not in known or not _is_same(inner, known[name], plain):
            packed[name] = plain
    return {"object": packed}


def _is_same(value: Any, fresh: Any, plain: Plain) -> bool:
    if value is fresh:
        return True
    if value is None or fresh is None:
        # Where the class stands for an object to be, there is nothing yet.
        return isinstance(fresh, type)
    if isinstance(value, _SCALARS):
        # By their text: 0.0 and −0.0, 1 and True are equal, and not the same.
        return repr(value) == repr(fresh)
    if isinstance(value, (tuple, list)) and type(value) is type(fresh):
        (parts,) = plain.values()
        return len(value) == len(fresh) and all(map(_is_same, value, fresh, parts))
    return bool(plain == {"object": {}}) and not isinstance(fresh, type)


def _unpack(plain: Plain, fresh: Any, arrays: Sequence[Array], depth: int) -> Any:
    if depth > _DEEPEST:
        raise FlightError("the recorded state is malformed: it is nested too deeply")
    if not isinstance(plain, dict):
        if not isinstance(plain, _SCALARS):
            raise FlightError("the recorded state is malformed: a list stands for nothing")
        return plain
    ((kind, inner),) = plain.items()
    if kind == "float":
        return float(inner)
    if kind in ("array", "number"):
        if not isinstance(inner, int) or not 0 <= inner < len(arrays):
            raise FlightError(f"the recorded state is malformed: there is no array {inner!r}")
        return arrays[inner] if kind == "array" else arrays[inner][()]
    if kind in ("tuple", "list"):
        alike = isinstance(fresh, (tuple, list)) and len(fresh) == len(inner)
        known = fresh if alike else [None] * len(inner)
        values = [_unpack(v, f, arrays, depth + 1) for v, f in zip(inner, known, strict=True)]
        return tuple(values) if kind == "tuple" else values
    if kind == "dict":
        old = fresh if isinstance(fresh, dict) else {}
        keys = [_unpack(k, None, arrays, depth + 1) for k, _ in inner]
        return {
            key: _unpack(value, old.get(key), arrays, depth + 1)
            for key, (_, value) in zip(keys, inner, strict=True)
        }
    if kind != "object":
        raise FlightError(f"the recorded state is malformed: unknown kind {kind[:20]!r}")
    return _changed(fresh, inner, arrays, depth)


def _changed(fresh: Any, inner: dict[str, Plain], arrays: Sequence[Array], depth: int) -> Any:
    """A copy of an object with some attributes set; it has all of them already."""
    known = _known(fresh)
    made = fresh if isinstance(fresh, type) else None
    allowed = {f.name for f in dataclasses.fields(made)} if made else set(known)
    unknown = [name for name in inner if name not in allowed]
    if unknown:
        raise FlightError(f"the recorded state has a {unknown[0][:40]!r} that this edgecap lacks")
    values = {name: _unpack(v, known.get(name), arrays, depth + 1) for name, v in inner.items()}
    if made:
        return made(**values)
    if dataclasses.is_dataclass(fresh) and not isinstance(fresh, type):
        return dataclasses.replace(fresh, **values)
    changed = copy.copy(fresh)
    for name, value in values.items():
        setattr(changed, name, value)
    return changed


def _attributes(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return dict(vars(value))


def _known(fresh: Any) -> dict[str, Any]:
    """A fresh object's attributes; a class in the place of an object that is not there yet."""
    if fresh is None or isinstance(fresh, (type, *_SCALARS)):
        return {}
    known = _attributes(fresh)
    if dataclasses.is_dataclass(fresh) and None in known.values():
        hints = typing.get_type_hints(type(fresh), localns=_LATER)
        for name, value in known.items():
            declared = filter(dataclasses.is_dataclass, typing.get_args(hints[name]))
            known[name] = next(declared, None) if value is None else value
    return known


def _check_states(snapshot: Snapshot, fresh: Snapshot) -> None:
    found = [(getattr(s, "shape", None), getattr(s, "dtype", None)) for s in snapshot.states]
    expected = [(state.shape, state.dtype) for state in fresh.states]
    if found != expected:
        raise FlightError("the recorded states are not of this model's shapes and types")
    if not isinstance(snapshot.frames, int) or isinstance(snapshot.timestamp_s, str):
        raise FlightError("the recorded state is malformed: no count of frames, or no time")
