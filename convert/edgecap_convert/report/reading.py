"""Reading a parity record, whatever it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap_convert.report.formats import count, is_number

Record = Mapping[str, Any]

#: The tensor of the outputs.
OUTPUTS = "logits"


def at(record: Any, *keys: str) -> Any:
    """What lies under these keys, or ``None``."""
    for key in keys:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def table_at(record: Any, *keys: str) -> Mapping[str, Any]:
    found = at(record, *keys)
    return found if isinstance(found, Mapping) else {}


def list_at(record: Any, *keys: str) -> list[Any]:
    found = at(record, *keys)
    return list(found) if isinstance(found, list | tuple) else []


def text_at(record: Any, *keys: str) -> str:
    found = at(record, *keys)
    return found if isinstance(found, str) else ""


def numbers_at(record: Any, *keys: str) -> npt.NDArray[np.float64]:
    """A list of figures; what is none is NaN."""
    found = list_at(record, *keys)
    return np.array([value if is_number(value) else np.nan for value in found], np.float64)


def counted(value: Any) -> str:
    return count(value) if is_number(value) else "–"


def shown(value: Any, told: Callable[[float], str]) -> str:
    return told(value) if is_number(value) else "–"


def task_of(record: Record) -> str:
    return text_at(record, "task")


def origin_of(record: Record) -> str:
    """What the file was made of, in words."""
    return "fake-quantised" if "fake_quant" in table_at(record, "accuracy") else "float"


def long_run(record: Record) -> tuple[Mapping[str, Any], str]:
    """The tensors of the longest free run that there is, and over how many frames."""
    for keys in (("drift",), ("steps", "free_running")):
        tensors = table_at(record, *keys, "tensors")
        if tensors:
            return tensors, counted(at(record, *keys, "frames"))
    return {}, "–"


def signed(value: float, unit: str) -> str:
    text = f"{abs(value):.1f}{unit}"
    if float(f"{value:.1f}") == 0:
        return f"0{unit}"
    return f"{'+' if value > 0 else '−'}{text}"


def distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
