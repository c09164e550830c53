"""One class per cause. Each message says what was expected, what came, and what to do."""

from __future__ import annotations


class EdgecapError(Exception):
    """The base of every error that edgecap raises on purpose."""


class ModelFileError(EdgecapError):
    """The file is missing, unreadable, damaged, or no edgecap model."""


class SpecError(EdgecapError):
    """The model's spec is malformed, or does not fit the graph it describes."""


class SignatureError(EdgecapError):
    """A model is not signed as it must be, or a key cannot be used."""


class FrameError(EdgecapError):
    """A frame has the wrong shape or dtype."""


class StateError(EdgecapError):
    """A snapshot does not belong to this model."""


class SourceError(EdgecapError):
    """A source of frames cannot be opened or read."""


class BackendError(EdgecapError):
    """No TFLite runtime, or the runtime refused the model."""


class MissingDependencyError(EdgecapError):
    """An optional package is needed for this and is not installed."""


class ConfigError(EdgecapError):
    """A setting of training, conversion or decisions is unknown or out of range."""


class TuningError(EdgecapError):
    """No setting of the decisions comes to what was asked for."""


class DataError(EdgecapError):
    """Training or evaluation data is missing, unreadable or unusable."""


class ParityError(EdgecapError):
    """A converted model does not compute what it was made of, or holds what it must not."""


class WorkerError(EdgecapError):
    """Another worker of a training on several machines has stopped or cannot be reached."""


class SinkError(EdgecapError):
    """Results cannot be written where they were asked for."""


class FlightError(EdgecapError):
    """A flight recording is missing, unreadable or damaged, or does not belong to this model."""


class ReaderGoneError(SinkError):
    """The program that read our output has ended, as in ``edgecap run … | head``."""


class ResultRefusedError(SinkError):
    """A result will never be taken, however often it is tried; the next one may be."""
