"""The step of a run's network through ONNX Runtime."""

from __future__ import annotations

from edgecap.bundle import read_bundle
from edgecap.preprocess import resize
from sides.onnx_made import FLOAT_FILE, INT8_FILE, Session, read_notes
from sides.ours import facts
from sides.side import Facts, Frame, Given, MissingError, Side, cross_validated


class OnnxRuntime(Side):
    """``session.run``, states carried as arrays.

    Args:
      quantised: the int8 file.
    """

    def __init__(self, *, quantised: bool) -> None:
        self._quantised = quantised

    def prepare(self, given: Given, threads: int | None) -> Facts:
        if given.made is None:
            raise MissingError(given.not_made)
        notes = read_notes(given.made)
        file = INT8_FILE if self._quantised else FLOAT_FILE
        self._session = Session(given.made / file, notes, threads)
        bundle = read_bundle(given.model)
        self._spec = bundle.spec.input
        accuracy, source = cross_validated(given, "float")
        if self._quantised:
            accuracy, source = None, "not measured; see what was checked"
        return Facts(
            **facts(bundle, given).__dict__
            | {
                "bytes": (given.made / file).stat().st_size,
                "accuracy": accuracy,
                "accuracy_source": source,
                "checked": notes.checked[file],
            }
        )

    def step(self, frame: Frame) -> int:
        return int(self._session.step(resize(frame, self._spec)).argmax())
