"""A captioning network → one flatbuffer with the signatures ``encode`` and ``step``."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from edgecap.caption_spec import CAPTIONING, CaptionSpec
from edgecap.captioning.contract import ENCODE, ENCODE_SUBGRAPH
from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.decisions import DecisionSpec
from edgecap.flatbuffer import read_graph
from edgecap.spec import GoldenSpec, ModelSpec, OutputSpec
from edgecap_convert.captions.network import CaptionNetwork, Scene
from edgecap_convert.captions.runs import CaptionRun
from edgecap_convert.export.graph import IMAGE, LOGITS, convert_quantized, convert_unquantized
from edgecap_convert.export.merge import merge
from edgecap_convert.parity import gates
from edgecap_convert.quantization.recipes import Recipe

TOKEN, KEYS, VALUES, HIDDEN, CELL, ATTENTION = "token", "keys", "values", "h", "c", "attention"
# Frames a second that a live picture is shown at; the sentences come far more seldom.
_RATE_HZ = 10.0


def convert_captions(network: CaptionNetwork, recipe: Recipe) -> bytes:
    """Converts both parts of a network and puts them into one model.

    Args:
      network: fake-quantised as the recipe is, its ranges learnt, for an integer one; else float.

    Returns:
      A flatbuffer: ``encode`` takes ``image`` and gives ``keys``, ``values`` and the first ``h``
      and ``c``; ``step`` takes ``token`` and those four, and gives ``logits``, ``attention`` and
      both states. Steps are the first subgraph: that which an interpreter invokes by itself.

    Raises:
      ConfigError: the network is not quantised, or the converter left float where none may be.
    """
    encoder, decoder = network.config.encoder, network.config.decoder
    cells = network.cells[0] * network.cells[1]

    def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
        scene = network.look(network.encode(image))
        return {KEYS: scene.keys, VALUES: scene.values, HIDDEN: scene.hidden, CELL: scene.cell}

    def step(
        token: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, h: tf.Tensor, c: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        logits, attention, h, c = network.step(token, Scene(keys, values, h, c), h, c)
        return {LOGITS: logits, ATTENTION: attention, HIDDEN: h, CELL: c}

    picture = {IMAGE: (1, encoder.height, encoder.width, 3)}
    word = {
        TOKEN: tf.TensorSpec((1,), tf.int32),
        KEYS: (1, decoder.heads, cells, decoder.key // decoder.heads),
        VALUES: (1, decoder.heads, cells, decoder.value // decoder.heads),
        HIDDEN: (1, decoder.units),
        CELL: (1, decoder.units),
    }
    if recipe.float_words:
        parts = (
            convert_unquantized(network, step, word, recipe.gates),
            convert_quantized(network, encode, picture, cells=0, float_outputs=True),
        )
    elif recipe.integer:
        parts = (
            convert_quantized(network, step, word, cells=1),
            convert_quantized(network, encode, picture, cells=0),
        )
    else:
        parts = (
            convert_unquantized(network, step, word, recipe.encoder),
            convert_unquantized(network, encode, picture, recipe.encoder),
        )
    return merge(*parts, names=(SIGNATURE, ENCODE))


def describe(
    run: CaptionRun, model: bytes, network: CaptionNetwork, name: str, recipe: Recipe
) -> ModelSpec:
    """Describes the graphs as they came out of the converter, once they are what they have to be.

    Raises:
      ParityError: a state differs between its sides, or there is float where none may be.
    """
    step, encode = read_graph(model), read_graph(model, ENCODE_SUBGRAPH)
    gates.check_carried(step, (HIDDEN, CELL))
    for graph in (encode,) if recipe.float_words else (step, encode):
        gates.check_floats(graph, recipe)
    given, told = step.signatures[SIGNATURE]
    (image,) = encode.signatures[ENCODE][0].values()
    features = encode.signatures[ENCODE][1]
    words, (rows, columns) = run.vocabulary, network.cells
    search = run.search
    spec = ModelSpec(
        name=name,
        task=CAPTIONING,
        rate_hz=_RATE_HZ,
        labels=words.words,
        input=dataclasses.replace(run.input, tensor=tensor_spec(IMAGE, encode.tensors[image])),
        states=tuple(tensor_spec(s, step.tensors[given[s]]) for s in (HIDDEN, CELL)),
        output=OutputSpec(tensor_spec(LOGITS, step.tensors[told[LOGITS]]), "log_softmax"),
        decision=DecisionSpec(),
        golden=GoldenSpec(0, "not yet measured"),
        recipe=recipe.name,
        caption=CaptionSpec(
            token=TOKEN,
            features=tuple(tensor_spec(f, encode.tensors[features[f]]) for f in (KEYS, VALUES)),
            first=(HIDDEN, CELL),
            attention=tensor_spec(ATTENTION, step.tensors[told[ATTENTION]]),
            rows=rows,
            columns=columns,
            start=search.start,
            end=search.end,
            forbidden=search.forbidden,
            longest=search.longest,
            beam=search.beam,
            length_penalty=search.length_penalty,
        ),
    )
    if recipe.integer:
        gates.check_grids(spec, network.state_grids())
    return spec
