"""The document of a benchmark, and what may be said of so many samples."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgecap.benchmark import from_dict
from edgecap.benchmark.reference import MACS, Reference
from edgecap.benchmark.times import times
from edgecap.errors import SpecError
from edgecap.flatbuffer import read_graph
from tests.bench_documents import DOCUMENTS, bench


@pytest.mark.parametrize("name", sorted({*DOCUMENTS} - {"absurd"}))
def test_a_document_is_read_as_it_was_written(name: str) -> None:
    document = DOCUMENTS[name]()
    assert from_dict(json.loads(json.dumps(document.to_dict()))) == document


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 1; got schema 2"),
        ({"closed": {}}, "benchmark.closed: frame is missing"),
        ({"steady": 3}, "benchmark.steady: expected an object; got 3"),
        (
            {"memory": {"before_mb": "much"}},
            "benchmark.memory.before_mb: expected float; got 'much'",
        ),
    ],
)
def test_another_document_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        from_dict(json.loads(json.dumps(bench().to_dict() | change)))


def test_a_percentile_needs_ten_samples_beyond_it() -> None:
    taken = times(np.arange(1.0, 101.0))
    assert (taken.p50_us, taken.p90_us, taken.p95_us, taken.p99_us) == (50.5, 90.1, None, None)
    assert times(np.arange(1000.0)).p99_us is not None
    assert times([3.0]).p50_us is None
    assert times([3.0]).jitter_us == 0
    assert times([1.0, 3.0, 2.0]).jitter_us == 1.5
    with pytest.raises(ValueError, match="samples"):
        times([])


def test_the_reference_does_the_work_that_is_said_and_runs() -> None:
    from importlib import resources

    graph = read_graph((resources.files("edgecap.assets") / "reference-int8.tflite").read_bytes())
    macs = 0
    for operator in graph.operators:
        if operator.name == "CONV_2D":
            out = graph.tensors[operator.outputs[0]].shape
            weights = graph.tensors[operator.inputs[1]].shape
            macs += int(np.prod(out)) * int(np.prod(weights[1:]))
    assert macs == MACS
    reference = Reference()
    assert min(reference.run_us() for _ in range(5)) > 0
