"""Graphs are traced without a line written to the temporary folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'convert'")

# AutoGraph, where it is at work, leaves its file in the folder and goes on without.
_TRACES = """
import os, resource, tempfile
import tensorflow as tf
from edgecap_convert.models.config import EncoderConfig, NetworkConfig
from edgecap_convert.models.network import Network
from edgecap_convert.tracing import traced
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
network = Network(NetworkConfig(3, EncoderConfig("mobilenet_v1", 0.25, 32, 32, 8)))
grid, state = network.encoder.output_shape[1:], network.initial_state(1)
signature = [tf.TensorSpec((None, *grid))]
run = traced(lambda grids: network.recur(grids[None], state)[0], input_signature=signature)
print(run(tf.zeros((5, *grid))).shape, os.listdir(tempfile.gettempdir()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_network_is_traced_where_nothing_can_be_written(tmp_path: Path) -> None:
    """With AutoGraph that was "iterating over a symbolic tf.Tensor is not allowed"."""
    done = subprocess.run(
        [sys.executable, "-c", _TRACES],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.stdout.strip() == "(1, 5, 3) []", done.stderr[-2000:]
