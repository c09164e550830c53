"""Decisions as they are asked for on a command line, over those of the model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgecap.decisions import LABEL_SETTINGS, DecisionSpec, LabelDecision
from edgecap.errors import ConfigError, SpecError

#: Name on the command line → field of :class:`DecisionSpec`.
SETTINGS = {
    "enter": "enter",
    "leave": "leave",
    "min-duration": "min_duration_s",
    "smoothing": "smoothing_s",
    "refractory": "refractory_s",
    "settle": "settle_s",
}
_OF_LABELS = {name: field for name, field in SETTINGS.items() if field in LABEL_SETTINGS}
LABEL_USAGE = "LABEL:" + ",".join(f"{name}=…" for name in _OF_LABELS)


@dataclass(frozen=True)
class DecisionOverrides:
    """What replaces settings of a model.

    Attributes:
      common: fields of :class:`DecisionSpec` → value, for all labels: also for those that have a
        setting of their own in the model, since what is asked for now is what counts.
      per_label: label → what is different for it, over both.
    """

    common: Mapping[str, float] = field(default_factory=dict)
    per_label: Mapping[str, LabelDecision] = field(default_factory=dict)

    def over(self, decision: DecisionSpec, *, labels: Sequence[str], task: str) -> DecisionSpec:
        """The model's decisions with these in their place.

        Raises:
          ConfigError: a label that the model does not have, values that do not go together, or a
            model that measures and has no events.
        """
        asked = [name for name, field in SETTINGS.items() if field in self.common]
        asked += ["label"] if self.per_label else []
        if task == "regression" and set(asked) - {"settle"}:
            raise ConfigError(
                f"--{asked[0]}: a regression model has no events to decide on; only --settle has "
                "a meaning for it"
            )
        for label in self.per_label:
            if label not in labels:
                raise ConfigError(
                    f"--label: the model has no label {label!r}; expected one of "
                    f"{', '.join(labels)}"
                )
        own: dict[str, LabelDecision] = {}
        for label in (*decision.per_label, *self.per_label):
            given = decision.per_label.get(label, LabelDecision()).given()
            given = {name: value for name, value in given.items() if name not in self.common}
            given |= self.per_label.get(label, LabelDecision()).given()
            if given:
                own[label] = LabelDecision(**given)
        try:
            return dataclasses.replace(decision, **{"per_label": own, **self.common})  # type: ignore[arg-type]
        except SpecError as error:
            raise ConfigError(f"{error}. What is not given is the model's") from error


def parse_label(text: str) -> tuple[str, LabelDecision]:
    """Reads ``left:enter=0.8,leave=0.5``. A label may hold colons itself.

    Raises:
      ConfigError: no such form, an unknown setting, or a value that is no number.
    """
    label, colon, settings = text.rpartition(":")
    if not colon or not label or not settings:
        raise ConfigError(f"expected {LABEL_USAGE}; got {text!r}")
    given: dict[str, float] = {}
    for part in settings.split(","):
        name, _, value = part.partition("=")
        name = name.strip().replace("_", "-").removesuffix("-s")
        if name not in _OF_LABELS:
            raise ConfigError(
                f"{label}: unknown setting {name!r}; expected one of {', '.join(_OF_LABELS)}"
            )
        if _OF_LABELS[name] in given:
            raise ConfigError(f"{label}: {name} is given twice")
        given[_OF_LABELS[name]] = _number(f"{label}: {name}", value)
    return label, LabelDecision(**given)


def parse_labels(texts: Sequence[str]) -> dict[str, LabelDecision]:
    """Reads several of them.

    Raises:
      ConfigError: see :func:`parse_label`; or one label twice.
    """
    found: dict[str, LabelDecision] = {}
    for text in texts:
        label, own = parse_label(text)
        if label in found:
            raise ConfigError(f"{label} is given twice; put its settings into one --label")
        found[label] = own
    return found


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{name}: expected a number; got {text!r}")
    return value
