"""Decisions asked for on the command line, over those of the model."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from edgecap.cli import cli
from edgecap.decision_options import DecisionOverrides, parse_label, parse_labels
from edgecap.decisions import DecisionSpec, LabelDecision
from edgecap.errors import ConfigError

LABELS = ("background", "left", "right: far")
MODEL = DecisionSpec(background="background", per_label={"left": LabelDecision(0.9, 0.5)})


def over(*labels: str, task: str = "classification", **common: float) -> DecisionSpec:
    overrides = DecisionOverrides(common, parse_labels(labels))
    return overrides.over(MODEL, labels=LABELS, task=task)


def test_nothing_asked_for_is_the_models_own() -> None:
    assert over() == MODEL


def test_what_is_asked_for_is_replaced_and_the_rest_stays() -> None:
    found = over(smoothing_s=0.5, min_duration_s=0.2)
    assert (found.smoothing_s, found.min_duration_s) == (0.5, 0.2)
    assert (found.enter, found.per_label) == (MODEL.enter, MODEL.per_label)


def test_what_is_asked_for_all_labels_holds_for_those_with_settings_of_their_own() -> None:
    found = over(enter=0.7)
    assert found.of("left").enter == 0.7
    assert found.of("left").leave == 0.5, "of which nothing was asked"


def test_what_is_asked_for_one_label_is_over_what_is_asked_for_all() -> None:
    found = over("left:enter=0.8", "right: far:min-duration=0.4,refractory=2", enter=0.7)
    assert found.of("left").enter == 0.8
    assert found.of("left").leave == 0.5
    assert found.of("right: far").enter == 0.7
    assert found.of("right: far").min_duration_s == 0.4
    assert found.of("right: far").refractory_s == 2.0


def test_a_label_may_hold_colons() -> None:
    assert parse_label("right: far:enter=0.8") == ("right: far", LabelDecision(enter=0.8))


def test_a_setting_may_be_called_as_in_the_spec() -> None:
    assert parse_label("left:min_duration_s=1") == ("left", LabelDecision(min_duration_s=1.0))


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["left"], "expected LABEL:enter=…,leave=…"),
        ([":enter=0.8"], "expected LABEL:enter"),
        (["left:"], "expected LABEL:enter"),
        (["left:entre=0.8"], "unknown setting 'entre'; expected one of enter, leave"),
        (["left:smoothing=1"], "unknown setting 'smoothing'"),
        (["left:enter=high"], "left: enter: expected a number; got 'high'"),
        (["left:enter=nan"], "expected a number; got 'nan'"),
        (["left:enter"], "expected a number; got ''"),
        (["left:enter=0.8,enter=0.9"], "enter is given twice"),
        (["left:enter=0.8", "left:leave=0.4"], "left is given twice"),
        (["lfet:enter=0.8"], "no label 'lfet'; expected one of background, left, right: far"),
        (["left:enter=0.3"], "got leave 0.5, enter 0.3. What is not given is the model's"),
        (["left:enter=2"], "enter 2.0"),
        (["background:enter=0.8"], "the background is never an event"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(texts: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        over(*texts)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_a_model_that_measures_only_settling_can_be_set() -> None:
    model, labels = DecisionSpec(), ("angle",)
    asked = DecisionOverrides({"settle_s": 2.0})
    assert asked.over(model, labels=labels, task="regression").settle_s == 2.0
    for wrong in (DecisionOverrides({"enter": 0.7}), DecisionOverrides({}, {"angle": MODEL})):  # type: ignore[dict-item]
        with pytest.raises(ConfigError, match="has no events"):
            wrong.over(model, labels=labels, task="regression")


def test_evaluate_decides_as_asked() -> None:
    """No gesture's score stays above 0.99 for five seconds, so none is recognised."""

    def events(*options: str) -> int:
        arguments = ["evaluate", "demo", "synthetic:gestures=4", "--json", *options]
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return int(json.loads(done.output)["events"]["recognised"])

    assert events() == 4
    assert events("--enter", "0.99", "--leave", "0.4", "--min-duration", "5") == 0
    label = "{}:min-duration=5".format
    assert events("--label", label("left"), "--label", label("right")) < 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--enter", "1.5"], "--enter"),
        (["--smoothing", "-1"], "--smoothing"),
        (["--label", "left:entre=1"], "'entre'"),
        (["--label", "lfet:enter=0.9"], "no label 'lfet'"),
        (["--enter", "0.2"], "got leave 0.35, enter 0.2"),
    ],
)
def test_wrong_options_are_wrong_use(options: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["evaluate", "demo", "synthetic:gestures=1", *options])
    assert done.exit_code == 2
    assert says in done.output
