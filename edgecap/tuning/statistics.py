"""How sure a count is."""

from __future__ import annotations

import math

_CONFIDENCE = 0.95
# Of the standard normal distribution: 95 % lie within ± this.
_Z = 1.959964


def poisson_upper(events: int) -> float:
    """The largest mean with which so few events are still seen in 5 % of cases.

    The exact one-sided bound (Garwood 1936): the mean at which P(N ≤ events) = 0.05. Of no events
    it is 3.0: hence "none in T hours shows at most 3/T an hour".

    Args:
      events: counted, 0 or more.
    """
    low, high = float(events), events + 4.0 * math.sqrt(events + 1.0) + 4.0
    for _ in range(100):
        middle = (low + high) / 2
        if _cumulative(events, middle) > 1 - _CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _cumulative(events: int, mean: float) -> float:
    """P(N ≤ events) of a Poisson distribution."""
    log_mean = math.log(mean) if mean > 0 else -math.inf
    terms = (
        math.exp(k * log_mean - mean - math.lgamma(k + 1)) if k else math.exp(-mean)
        for k in range(events + 1)
    )
    return math.fsum(terms)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score; (0, 1) of nothing."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z * _Z
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials * trials)
    half = _Z * math.sqrt(spread) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)
