"""Networks of every shape, and every recipe, cut in two: the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from edgecap_convert.export.graph import convert_float, convert_step
from edgecap_convert.models.config import LSTMConfig, NeckConfig
from edgecap_convert.quantization.recipes import RECIPES, recipe_named

from tests.convert.made import calibrated, model_of
from tests.convert.test_network import MEMORIES, NECKS, SHAPES, lively_network, scenes
from tests.cutting import differing_frames


@pytest.mark.slow
@pytest.mark.parametrize(("neck", "lstm", "members"), SHAPES)
def test_the_parts_of_any_network_give_the_bytes_of_the_whole(
    neck: NeckConfig, lstm: LSTMConfig, members: int
) -> None:
    network = lively_network(neck=neck, lstm=lstm, members=members)
    clips = scenes(6, 36)
    model = model_of(calibrated(network, clips[:3]))
    frames = clips.reshape(-1, *clips.shape[2:])
    assert len(frames) >= 200
    assert differing_frames(model.bundle, frames) == []
    assert differing_frames(model.bundle, frames[:40], kernels="builtin") == []


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_parts_of_any_recipe_give_the_bytes_of_the_whole(recipe: str) -> None:
    network = lively_network(neck=NECKS["attend to motion"], lstm=MEMORIES["two layers"])
    clips = scenes(6, 36)
    if recipe_named(recipe).integer:
        quantized = calibrated(network, clips[:3], cell=recipe_named(recipe).cell)
        model = model_of(quantized, convert_step(quantized), recipe)
    else:
        model = model_of(network, convert_float(network, recipe), recipe)
    frames = np.concatenate(clips)
    for kernels in ("xnnpack", "builtin"):
        assert differing_frames(model.bundle, frames, kernels=kernels) == []
