"""Thresholds from recordings: as many events as can be had for so many false ones an hour."""

from edgecap.tuning.counts import Counts, Point
from edgecap.tuning.held_out import HeldOut
from edgecap.tuning.statistics import poisson_upper, wilson
from edgecap.tuning.tracks import Track, record_background, record_data
from edgecap.tuning.tune import Tuning, tune

__all__ = [
    "Counts",
    "HeldOut",
    "Point",
    "Track",
    "Tuning",
    "poisson_upper",
    "record_background",
    "record_data",
    "tune",
    "wilson",
]
