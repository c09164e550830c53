"""A series of times that follow each other → its level, and how sure of it one can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Enough that the standard error is known to 5 %; the seed makes a verdict repeatable.
_RESAMPLES, _SEED = 300, 0


@dataclass(frozen=True)
class Level:
    """A quantile of a series of logarithms.

    Attributes:
      log: the quantile. error: its standard error.
    """

    log: float
    error: float


def level(values: npt.ArrayLike, quantile: float) -> Level:
    """The level of a series ``(N,)`` of positive times or ratios, in the order they were taken.

    Neighbours are alike, since the machine's moods outlast a block, so the standard error is that
    of a moving-block bootstrap (Künsch, 1989), whose stretches are √N long: it draws stretches and
    not single values, round the end as well.

    Raises:
      ValueError: the series is empty, or not positive.
    """
    series = np.asarray(values, np.float64)
    if series.ndim != 1 or not len(series) or not (series > 0).all():
        raise ValueError(f"expected positive values (N,), N ≥ 1; got {values!r}"[:200])
    logs = np.log(series)
    count = len(logs)
    length = max(1, round(count**0.5))
    stretches = -(-count // length)
    begins = np.random.default_rng(_SEED).integers(0, count, (_RESAMPLES, stretches))
    places = (begins[:, :, None] + np.arange(length)) % count
    drawn = logs[places.reshape(_RESAMPLES, -1)[:, :count]]
    error = np.quantile(drawn, quantile, axis=1).std(ddof=1)
    return Level(float(np.quantile(logs, quantile)), float(error))
