"""Samples of a time → what can be said of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgecap.benchmark.report import Times

# A percentile that rests on fewer samples beyond it tells of their luck.
_BEYOND = 10
_PERCENTILES = {"p50_us": 50, "p90_us": 90, "p95_us": 95, "p99_us": 99}


def times(samples_us: npt.ArrayLike) -> Times:
    """What can be said of samples ``(N,)``, in microseconds, in the order they were taken.

    Raises:
      ValueError: there are none.
    """
    values = np.asarray(samples_us, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected samples (N,), N ≥ 1; got shape {values.shape}")
    found = {
        name: round(float(np.percentile(values, percent)), 2)
        for name, percent in _PERCENTILES.items()
        if len(values) * (100 - percent) >= 100 * _BEYOND
    }
    jitter = np.abs(np.diff(values)).mean() if len(values) > 1 else 0.0
    return Times(
        count=len(values),
        min_us=round(float(values.min()), 2),
        mean_us=round(float(values.mean()), 2),
        max_us=round(float(values.max()), 2),
        jitter_us=round(float(jitter), 2),
        **found,
    )
