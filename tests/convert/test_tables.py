"""The checks of tables take whatever a recipe makes of a network."""

from __future__ import annotations

import pytest
from edgecap_convert.models.config import EncoderConfig, NetworkConfig

from edgecap.captioning.contract import ENCODE_SUBGRAPH
from edgecap.flatbuffer import read_graph
from edgecap.graph_checks import check_tables
from edgecap.interpreter import open_interpreter
from tests.convert.emitted import (
    CAPTION_RECIPES,
    ENCODER_NETWORKS,
    EVERY_RECIPE,
    PART_NETWORKS,
    convert_captioner,
    convert_network,
)

# They differ most in what they put into the tables; float32 puts less there than float16.
_FORMS = ("int8", "dynamic", "float16")


def accepted(model: bytes) -> set[str]:
    """Checks a file's tables and that the runtime takes them; the dtypes of its tensors."""
    graph = check_tables(model)
    assert graph == read_graph(model), "both readers see one file"
    open_interpreter(model)
    parts = (graph, read_graph(model, ENCODE_SUBGRAPH)) if graph.subgraphs > 1 else (graph,)
    return {tensor.dtype for part in parts for tensor in part.tensors}


def quick_or_slow(names: list[str], quick: tuple[str, ...]) -> list[object]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize(
    "recipe",
    quick_or_slow(
        list(CAPTION_RECIPES), ("int8-dynamic", "float16", "dynamic", "int8-int16+float-head")
    ),
)
def test_every_recipe_of_a_captioning_network(recipe: str) -> None:
    dtypes = accepted(convert_captioner(recipe))
    assert ("float16" in dtypes) == (recipe == "float16")


@pytest.mark.parametrize("recipe", quick_or_slow(list(EVERY_RECIPE), ("float16", "dynamic")))
def test_every_recipe_of_a_network_that_streams(recipe: str) -> None:
    encoder = EncoderConfig("mobilenet_v2", 0.35, 32, 32, 16)
    dtypes = accepted(convert_network(NetworkConfig(3, encoder), recipe))
    assert ("float16" in dtypes) == (recipe == "float16")
    assert ("int8" in dtypes) == (recipe not in ("float16", "float32"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", _FORMS)
@pytest.mark.parametrize("name", ENCODER_NETWORKS)
def test_every_encoder(name: str, recipe: str) -> None:
    accepted(convert_network(ENCODER_NETWORKS[name], recipe))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ("int8-int16+float-head", "dynamic", "float16"))
@pytest.mark.parametrize("name", PART_NETWORKS)
def test_every_neck_and_memory(name: str, recipe: str) -> None:
    accepted(convert_network(PART_NETWORKS[name], recipe))
