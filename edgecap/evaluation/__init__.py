"""How good a model is, streamed frame by frame over recordings whose truth is known."""

from edgecap.evaluation.classification import Answer, Evaluation
from edgecap.evaluation.events import EVENT_LAG_S, EventScore, match_events, score_events
from edgecap.evaluation.gating import (
    MeasuredPredictor,
    Usage,
    gated_predictor,
    ungated_predictor,
)
from edgecap.evaluation.metrics import average_precision, roc_auc
from edgecap.evaluation.multilabel import LabelsAnswer, MultiLabelEvaluation
from edgecap.evaluation.recording import Recording, Segment, record_scene
from edgecap.evaluation.regression import RegressionEvaluation, ValuesAnswer
from edgecap.evaluation.scoring import (
    Activations,
    AnyEvaluation,
    Predictor,
    Probabilities,
    evaluate,
    model_predictor,
)

__all__ = [
    "EVENT_LAG_S",
    "Activations",
    "Answer",
    "AnyEvaluation",
    "Evaluation",
    "EventScore",
    "LabelsAnswer",
    "MeasuredPredictor",
    "MultiLabelEvaluation",
    "Predictor",
    "Probabilities",
    "Recording",
    "RegressionEvaluation",
    "Segment",
    "Usage",
    "ValuesAnswer",
    "average_precision",
    "evaluate",
    "gated_predictor",
    "match_events",
    "model_predictor",
    "record_scene",
    "roc_auc",
    "score_events",
    "ungated_predictor",
]
