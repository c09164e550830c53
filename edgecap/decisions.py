"""How scores become events: the settings, for all labels and for single ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgecap.errors import SpecError


@dataclass(frozen=True)
class LabelDecision:
    """What is different for one label; ``None`` where it is as for all.

    Attributes:
      enter, leave, min_duration_s, refractory_s: see :class:`DecisionSpec`.
    """

    enter: float | None = None
    leave: float | None = None
    min_duration_s: float | None = None
    refractory_s: float | None = None

    def given(self) -> dict[str, Any]:
        """The settings that are different, by their names."""
        return {name: value for name, value in vars(self).items() if value is not None}


#: The settings that a label may have of its own.
LABEL_SETTINGS = tuple(f.name for f in dataclasses.fields(LabelDecision))


@dataclass(frozen=True)
class DecisionSpec:
    """How scores become events; regression has none, and only ``settle_s``. Times in seconds.

    Attributes:
      smoothing_s: time constant of the exponential average over probabilities; 0 for none.
      enter: smoothed score at which an event may start.
      leave: smoothed score below which it ends; at most ``enter``.
      min_duration_s: how long the score must have stayed at ``enter`` or above.
      refractory_s: how long after its end the same label stays silent.
      settle_s: how long after a reset nothing is reported, and predictions say ``settled=False``.
      background: the label that is never an event, or ``None``.
      per_label: label → what is different for it.
    """

    smoothing_s: float = 0.25
    enter: float = 0.6
    leave: float = 0.35
    min_duration_s: float = 0.1
    refractory_s: float = 0.3
    settle_s: float = 0.25
    background: str | None = None
    # Equal specs have equal hashes without it, and a mapping has none.
    per_label: Mapping[str, LabelDecision] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check(vars(self), "decision")
        for label, own in self.per_label.items():
            _check(vars(self) | own.given(), f"decision.per_label[{label[:60]!r}]")
        if self.background in self.per_label:
            raise SpecError(
                f"decision.per_label[{self.background!r}]: the background is never an event, so "
                "it has no settings of its own"
            )

    def of(self, label: str) -> DecisionSpec:
        """The settings that hold for a label, as those of all labels."""
        own = self.per_label.get(label)
        given: dict[str, Any] = {"per_label": {}} | (own.given() if own else {})
        return dataclasses.replace(self, **given)

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raises ``SpecError`` where a setting is for a label that the model does not have."""
        if self.background is not None and self.background not in labels:
            raise SpecError(f"decision.background: {self.background!r} is not among the labels")
        for label in self.per_label:
            if label not in labels:
                raise SpecError(
                    f"decision.per_label: {label[:60]!r} is not among the labels "
                    f"{', '.join(labels[:12])}{', …' if len(labels) > 12 else ''}"
                )

    def to_plain(self) -> dict[str, Any]:
        """As plain data, without what is not given, so that files are as they were before it."""
        plain = dataclasses.asdict(dataclasses.replace(self, per_label={}))
        del plain["per_label"]
        if self.per_label:
            plain["per_label"] = {label: own.given() for label, own in self.per_label.items()}
        return plain


def _check(settings: Mapping[str, Any], where: str) -> None:
    for name in ("smoothing_s", "min_duration_s", "refractory_s", "settle_s"):
        value = settings[name]
        if not (math.isfinite(value) and value >= 0):
            raise SpecError(f"{where}.{name}: expected seconds, 0 or more; got {value}")
    leave, enter = settings["leave"], settings["enter"]
    if not 0 < leave <= enter <= 1:
        raise SpecError(
            f"{where}: expected 0 < leave ≤ enter ≤ 1; got leave {leave}, enter {enter}"
        )
