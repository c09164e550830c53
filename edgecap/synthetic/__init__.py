"""Synthetic motion scenes: one generator for the live ``synthetic:`` source and for training."""

from edgecap.synthetic.motions import BACKGROUND, GESTURES, LABELS, REVERSED
from edgecap.synthetic.scene import DEFAULT_RATE_HZ, Scene, SceneFrame

__all__ = [
    "BACKGROUND",
    "DEFAULT_RATE_HZ",
    "GESTURES",
    "LABELS",
    "REVERSED",
    "Scene",
    "SceneFrame",
]
