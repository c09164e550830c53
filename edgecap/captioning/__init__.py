"""Captions: a picture is looked at once, a sentence about it is written word by word."""

from __future__ import annotations

from edgecap.captioning.model import Caption, CaptionModel, Scene, Step, load_captioner

__all__ = ["Caption", "CaptionModel", "Scene", "Step", "load_captioner"]
