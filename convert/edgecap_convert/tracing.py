"""Functions of TensorFlow as graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def traced(function: Callable[..., Any], **options: Any) -> Any:
    """``tf.function`` without AutoGraph; ``options`` are its own.

    AutoGraph writes each function anew as Python into the temporary folder. Where that is full it
    leaves the function as it was, which shows as an error about symbolic tensors somewhere else.
    So loops and branches over tensors are written as what they become: ``tf.while_loop``.
    """
    return tf.function(function, autograph=False, **options)
