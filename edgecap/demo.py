"""The packaged model on a synthetic scene, with a view for the terminal."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import click

from edgecap import terminal
from edgecap.assets import DEMO_MODEL, resolve_model
from edgecap.evaluation import evaluate, model_predictor, record_scene
from edgecap.events import Event
from edgecap.streaming import Prediction, StreamingModel, load
from edgecap.synthetic import Scene

# Drawn scenes are played faster than life, to end within a few seconds.
_SPEED_UP = 4.5
_PICTURE_COLUMNS = 40
