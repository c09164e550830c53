"""The whole path at its default effort: about ten minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_default_training_reaches_95_percent_in_int8(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "end_to_end.py"
    out = tmp_path / "result.json"
    subprocess.run([sys.executable, str(script), "--json", str(out)], check=True)
    result = json.loads(out.read_text())["result"]
    with capfd.disabled():
        print(f"\n{json.dumps(result, indent=1)}")
    fresh = {mode: figures["accuracy"] for mode, figures in result["fresh_scenes"].items()}
    assert fresh["int8"] >= 0.95
    assert fresh["int8"] >= fresh["float"] - 0.01
    assert result["same_answers_int8_and_fake_quant"] >= 0.99
