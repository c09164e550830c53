"""Parts of an int8 file put back to float."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from edgecap_convert.export.twin import PARTS, operator_parts, put_back
from edgecap_convert.models.network import Network
from edgecap_convert.parity.doctor import examine, reopened
from edgecap_convert.parity.probe import decibels, probe
from edgecap_convert.parity.trace import NetworkTracer, trace_model

from edgecap.errors import ConfigError
from edgecap.flatbuffer import read_graph
from edgecap.streaming import StreamingModel
from tests.convert.made import calibrated, model_of
from tests.convert.test_network import NECKS, SIZE, lively_network, scenes


@pytest.fixture(scope="module")
def network() -> Network:
    return lively_network(neck=NECKS["difference"])


@pytest.fixture(scope="module", params=["int8", pytest.param("float32", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest, network: Network) -> StreamingModel:
    """The same network with a float cell, and with one of 8 bits."""
    return model_of(calibrated(network, scenes(3, 24), request.param))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return scenes(2, 40).reshape(-1, SIZE, SIZE, 3)


def snr(network: Network, model: StreamingModel, images: np.ndarray) -> float:
    tracer = NetworkTracer(network)
    wanted, _ = tracer.run(tracer.encode(images), tracer.reset())
    found, _ = trace_model(model, images, model.initial_states())
    off = found.logits - wanted.logits
    return decibels(float((wanted.logits**2).sum()), float((off**2).sum()))


def test_every_operator_has_its_part(model: StreamingModel) -> None:
    parts = Counter(operator_parts(model.bundle.graph))
    assert set(parts) == set(PARTS)
    assert parts["head"] == 1
    assert parts["encoder"] > 30


def test_the_twin_is_float_throughout_and_nearer_to_the_network(
    network: Network, model: StreamingModel, images: np.ndarray
) -> None:
    bundle = model.bundle
    twin = reopened(model, put_back(bundle.model, bundle.graph).model)
    assert {state.dtype for state in twin.spec.states} == {"float32"}
    assert twin.spec.output.tensor.dtype == "float32"
    graph = read_graph(twin.bundle.model)
    names = {o.name for o in graph.operators}
    assert "QUANTIZE" not in names
    assert snr(network, twin, images) > snr(network, model, images) + 3


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_put_back_alone(
    model: StreamingModel, images: np.ndarray, part: str
) -> None:
    bundle = model.bundle
    changed = reopened(model, put_back(bundle.model, bundle.graph, (part,)).model)
    found, _ = trace_model(changed, images[:20], changed.initial_states())
    original, _ = trace_model(model, images[:20], model.initial_states())
    assert np.abs(found.logits - original.logits).max() < np.ptp(original.logits)
    dtypes = {state.name: state.dtype for state in changed.spec.states}
    given = {"gates": "h", "cell": "c", "neck": "map"}
    for name, dtype in dtypes.items():
        floats = given.get(part) == name or (name == "running" and part == "neck")
        kept = {state.name: state.dtype for state in model.spec.states}[name]
        assert dtype == ("float32" if floats else kept)


def test_nothing_put_back_is_the_same_file(model: StreamingModel, images: np.ndarray) -> None:
    bundle = model.bundle
    same = reopened(model, put_back(bundle.model, bundle.graph, ()).model)
    one, _ = trace_model(same, images[:12], same.initial_states())
    other, _ = trace_model(model, images[:12], model.initial_states())
    np.testing.assert_array_equal(one.logits, other.logits)


def test_every_quantised_tensor_is_probed(model: StreamingModel, images: np.ndarray) -> None:
    probes = probe(model, images[:30])
    assert {each.part for each in probes} >= {"encoder", "neck", "gates", "head"}
    assert all(len(each.signal) == 30 for each in probes)
    assert 5 < np.median([each.snr_db for each in probes]) < 60
    names = [each.name for each in probes]
    for gate in ("input", "forget", "candidate", "output"):
        assert any(f"gates/{gate}/" in name for name in names)


@pytest.mark.slow
def test_the_doctor_orders_what_it_finds(
    network: Network, model: StreamingModel, images: np.ndarray
) -> None:
    found = examine(model, images, network=network)
    severities = [finding["severity_db"] for finding in found["findings"]]
    assert severities == sorted(severities)
    rows = found["put_back"]
    assert rows[0]["part"] == "as it is"
    assert {row["part"] for row in rows} == {"as it is", *PARTS, "all but the weights"}
    gains = [row["gain_db"] for row in rows[1:]]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1
    assert {"lstm1 forget gate", "h", "logits"} <= set(found["gates"])


def test_the_doctor_declines_a_float_file(network: Network, images: np.ndarray) -> None:
    from edgecap_convert.export.graph import convert_float

    model = model_of(network, convert_float(network, "float32"), "float32")
    with pytest.raises(ConfigError, match="rounds nothing"):
        examine(model, images)
