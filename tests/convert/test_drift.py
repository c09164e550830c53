"""The drift audit tells a file that stays beside its network from one that does not."""

from __future__ import annotations

import numpy as np
import pytest
from edgecap_convert.models.network import Network
from edgecap_convert.parity.drift import audit_drift, error_trend, reset_every
from edgecap_convert.parity.trace import NetworkTracer, Tracers

from edgecap.evaluation import Recording, Segment
from tests.convert.made import RATE_HZ, calibrated, model_of
from tests.convert.test_network import lively_network, scenes


@pytest.fixture(scope="module")
def network() -> Network:
    network = lively_network()
    # It forgets slowly: this is where 8 bits stand still.
    lstm = network.memory.layers[0]
    kernel, recurrent, bias = lstm.get_weights()
    bias[lstm.units : 2 * lstm.units] += 3.5
    lstm.set_weights([kernel / 4, recurrent / 4, bias])
    return network


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    # Something moves, and then nothing does: what was remembered is forgotten, slowly.
    moving = scenes(4, 12)
    clips = np.concatenate([moving, np.repeat(moving[:, -1:], 60, axis=1)], axis=1)
    return [
        Recording(
            name=f"scene {n}",
            images=images,
            timestamps_s=np.arange(len(images)) / RATE_HZ,
            truth=("label 0",) * len(images),
            segments=(Segment("label 0", 0, len(images)),),
            is_stream=False,
        )
        for n, images in enumerate(clips)
    ]


def audited(network: Network, recordings: list[Recording], cell: str) -> dict:
    clips = np.stack([recording.images for recording in recordings])
    quantized = calibrated(network, clips, cell)
    model = model_of(quantized, recipe={"float32": "int8"}.get(cell, f"int8-{cell}"))
    tracers = Tracers(NetworkTracer(network), NetworkTracer(quantized))
    return audit_drift(tracers, model, recordings, frames=600)


@pytest.mark.slow
def test_an_int8_cell_that_stalls_is_visible(network: Network, recordings: list[Recording]) -> None:
    kept = {cell: audited(network, recordings, cell) for cell in ("float32", "int8")}
    sound, coarse = kept["float32"], kept["int8"]
    assert sound["frames"] >= 600
    assert sound["units"]["c"]["stalled"]["mean"] < 0.005
    assert coarse["units"]["c"]["stalled"]["mean"] > 0.02
    assert "c stalls" in coarse["verdict"]
    assert "stalls" not in sound["verdict"]
    assert coarse["same_answers"]["float"] <= sound["same_answers"]["float"]
    assert set(sound["tensors"]) == {"logits", "h", "c"}
    assert sum(sound["tensors"]["h"]["histogram"]) == sound["frames"] * 20
    assert len(sound["blocks"]["off_float"]) == 100
    assert sound["same_answers"]["fake_quant"] > 0.97


def test_an_error_that_grows_asks_for_resets() -> None:
    rng = np.random.default_rng(0)
    steady = 0.1 + rng.normal(0, 0.02, 100)
    trend = error_trend(steady)
    assert reset_every(trend, 8.0) is None
    growing = error_trend(steady + np.linspace(0, 0.2, 100))
    assert growing["growth"] > 1.5
    assert growing["t"] > 4
    seconds = reset_every(growing, 8.0)
    assert seconds is not None
    assert 8.0 <= seconds <= 400.0
