"""Encoders that start from published weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgecap_convert.models.config import EncoderConfig
from edgecap_convert.models.encoders import build_encoder
from edgecap_convert.models.folding import fold_batch_norm

from edgecap.errors import ConfigError


@pytest.mark.data
def test_weights_made_for_224_pixels_serve_any_size(data_folder: Path) -> None:
    files = [f for f in (data_folder / "weights").iterdir() if "0.35_224" in f.name]
    if not files:
        pytest.skip("no MobileNetV2 α0.35 weights there")
    encoder = build_encoder(EncoderConfig(height=160, width=128, weights=str(files[0])))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 160, 128, 3)).astype(np.float32)
    grid = encoder(images).numpy()
    assert grid.shape == (2, 10, 8, 32)
    # Trained batch norms are far from the identity, so folding them is a real test here.
    np.testing.assert_allclose(fold_batch_norm(encoder)(images), grid, rtol=1e-3, atol=1e-3)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.h5"
    wrong.write_bytes(b"no weights")
    with pytest.raises(ConfigError, match=r"encoder\.weights.*wrong\.h5"):
        build_encoder(EncoderConfig(height=32, width=32, weights=str(wrong)))
