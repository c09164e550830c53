"""What TensorFlow writes to the temporary folder: nothing when it traces, a model to convert it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'convert'")

_LIMITED = """
import os, resource, tempfile
import tensorflow as tf
from edgecap_convert.models.config import EncoderConfig, NetworkConfig
from edgecap_convert.models.network import Network
from edgecap_convert.tracing import traced
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
network = Network(NetworkConfig(3, EncoderConfig("mobilenet_v1", 0.25, 32, 32, 8)))
"""
# AutoGraph, where it is at work, leaves its file in the folder and goes on without.
_TRACES = """
grid, state = network.encoder.output_shape[1:], network.initial_state(1)
signature = [tf.TensorSpec((None, *grid))]
run = traced(lambda grids: network.recur(grids[None], state)[0], input_signature=signature)
print(run(tf.zeros((5, *grid))).shape, os.listdir(tempfile.gettempdir()))
"""
_CONVERTS = """
from edgecap_convert.export.graph import convert_float
from edgecap.errors import ConfigError
try:
    convert_float(network, "float32")
except ConfigError as error:
    print(error)
"""


def limited(script: str, folder: Path) -> str:
    """What it prints where no file may grow."""
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED + script],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_network_is_traced_where_nothing_can_be_written(tmp_path: Path) -> None:
    """With AutoGraph that was "iterating over a symbolic tf.Tensor is not allowed"."""
    assert limited(_TRACES, tmp_path) == "(1, 5, 3) []"


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_model_that_cannot_be_saved_to_be_converted_is_told(tmp_path: Path) -> None:
    told = limited(_CONVERTS, tmp_path)
    assert re.fullmatch(
        rf"cannot write to the temporary folder, {re.escape(str(tmp_path))}: File too large\. "
        r"Make room there, or let TMPDIR name a folder that has some",
        told,
    )
