"""One training on several machines: each worker takes some rows of every batch.

The rows of a batch are streams that never meet, so sharing them out changes nothing but where they
are computed: losses and gradients are summed over all workers, and each moves its own copy of the
weights by the same step. What is random in a step is drawn for the joint batch, and each worker
takes its rows of it. So any number of workers follows the loss curve of one with the joint batch,
and goes on from its checkpoints.

The workers find each other as TensorFlow's do: by ``TF_CONFIG``, through
``tf.distribute.MultiWorkerMirroredStrategy``, whose collectives carry every sum. One of them, the
chief, writes the run folder and validates; nobody else needs to see that folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConfigError, WorkerError
from edgecap.native import native_stderr_to_log

if TYPE_CHECKING:
    import tensorflow as tf

_VARIABLE = "TF_CONFIG"
_ROLES = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


class Workers:
    """All processes that train one network together, and this one's place among them.

    As made here, there is one, and everything is what it would be without it.

    Attributes:
      index: of this worker, from 0, the chief. count: of all of them.
    """

    index = 0
    count = 1

    @property
    def chief(self) -> bool:
        """Whether this one writes the run, and validates."""
        return self.index == 0

    def rows(self, batch: int) -> slice:
        """This worker's rows of a joint batch."""
        share = batch // self.count
        return slice(self.index * share, (self.index + 1) * share)

    def sum(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums over all workers; all call it at the same time, with float32 of equal shapes."""
        return list(tensors)

    def from_chief(self, value: Any) -> npt.NDArray[Any]:
        """What the chief gave; the others give anything of its shape and dtype."""
        return np.asarray(value)

    def joint(self, rows: npt.NDArray[Any], batch: int) -> npt.NDArray[Any]:
        """Every worker's rows as one array of ``batch`` rows."""
        return rows

    def agree(self, variables: Sequence[tf.Variable]) -> None:
        """Gives all workers the chief's values."""

    def check_same(self, what: str, value: Any) -> None:
        """Refuses workers that were started with something else than the chief.

        Args:
          what: to call it. value: plain data.

        Raises:
          ConfigError: it differs.
        """

    def wait(self) -> None:
        """Returns when all workers have come here."""

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Tells that another worker was lost.

        Raises:
          WorkerError: it was.
        """
        yield


#: A training of one process.
ALONE = Workers()


@dataclass(frozen=True)
class Place:
    """What ``TF_CONFIG`` says.

    Attributes:
      index, count: as for ``Workers``.
    """

    index: int
    count: int


def find_place() -> Place:
    """Reads ``TF_CONFIG``; without TensorFlow, which takes seconds to load.

    Raises:
      ConfigError: it is not set, or says something else than where the workers are and which of
        them this is.
    """
    text = os.environ.get(_VARIABLE)
    if not text:
        raise ConfigError(
            f"{_VARIABLE} is not set; on each machine, expected the addresses of all workers and "
            f"which of them this is: {_EXAMPLE}"
        )
    try:
        document = json.loads(text)
        cluster, task = document["cluster"], document["task"]
        role, index = task["type"], int(task["index"])
        found = {name: list(cluster.get(name, ())) for name in _ROLES}
        others = sorted(set(cluster) - set(_ROLES))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{_VARIABLE}: expected {_EXAMPLE}; got {text!r} ({type(error).__name__}: {error})"
        ) from error
    addresses = [*found["chief"], *found["worker"]]
    if others or len(found["chief"]) > 1 or not addresses:
        raise ConfigError(
            f"{_VARIABLE}: expected one or more workers and at most one chief; got {cluster}"
        )
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"{_VARIABLE}: expected addresses like host:port; got {address!r}")
    if len(set(addresses)) < len(addresses):
        raise ConfigError(f"{_VARIABLE}: two workers have the same address in {addresses}")
    if role not in _ROLES or not 0 <= index < len(found[role]):
        raise ConfigError(f"{_VARIABLE}: task {task} is none of the cluster {cluster}")
    return Place(index + (len(found["chief"]) if role == "worker" else 0), len(addresses))


def check_batches(batches: dict[str, int], count: int) -> None:
    """Refuses batches that cannot be shared out evenly.

    Args:
      batches: rows by stage. count: of workers.

    Raises:
      ConfigError: naming the stage.
    """
    for name, batch in batches.items():
        if batch % count:
            raise ConfigError(
                f"{name}.batch: expected a multiple of the {count} workers, who share the rows; "
                f"got {batch}"
            )


def connect(place: Place) -> Workers:
    """Waits for all workers of ``TF_CONFIG``; before anything else is done with TensorFlow.

    Raises:
      ConfigError: this worker's address cannot be taken, or it has several GPUs.
    """
    print(f"worker {place.index} of {place.count} waits for the others …", file=sys.stderr)
    with native_stderr_to_log():
        import tensorflow as tf
    try:
        with native_stderr_to_log():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{_VARIABLE}: worker {place.index} of {place.count} cannot take its place: "
            f"{_first_line(error)}"
        ) from error
    if strategy.num_replicas_in_sync != place.count:
        raise ConfigError(
            f"worker {place.index} has {len(strategy.extended.worker_devices)} GPUs; start one "
            "worker for each and show it this one alone, with CUDA_VISIBLE_DEVICES"
        )
    return _Connected(place, strategy)


class _Connected(Workers):
    """Workers in processes of their own."""

    def __init__(self, place: Place, strategy: tf.distribute.Strategy) -> None:
        self.index, self.count = place.index, place.count
        self._strategy = strategy
        # By dtype and shape. Collectives are numbered as they are traced, the same at all workers.
        self._sums: dict[tuple[str, tuple[int, ...]], Any] = {}

    def sum(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        import tensorflow as tf

        # One message for all of them.
        flat = self._reduced(tf.concat([tf.reshape(tensor, (-1,)) for tensor in tensors], 0))
        parts = tf.split(flat, [tensor.shape.num_elements() for tensor in tensors])
        return [tf.reshape(part, each.shape) for part, each in zip(parts, tensors, strict=True)]

    def from_chief(self, value: Any) -> npt.NDArray[Any]:
        given = np.asarray(value)
        return self._sum_array(given if self.chief else np.zeros_like(given))

    def joint(self, rows: npt.NDArray[Any], batch: int) -> npt.NDArray[Any]:
        every = np.zeros((batch, *rows.shape[1:]), rows.dtype)
        every[self.rows(batch)] = rows
        return self._sum_array(every)

    def agree(self, variables: Sequence[tf.Variable]) -> None:
        values = [variable.numpy() for variable in variables]
        for dtype in sorted({value.dtype.str for value in values}):
            chosen = [i for i, value in enumerate(values) if value.dtype.str == dtype]
            flat = self.from_chief(np.concatenate([values[i].ravel() for i in chosen]))
            ends = np.cumsum([values[i].size for i in chosen])[:-1]
            for i, part in zip(chosen, np.split(flat, ends), strict=True):
                variables[i].assign(part.reshape(values[i].shape))

    def check_same(self, what: str, value: Any) -> None:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8).astype(np.int64)
        different = not np.array_equal(self.from_chief(digest), digest)
        # All stop where one does.
        if self._sum_array(np.int64(different)):
            which = "this worker has" if different else "another worker has"
            raise ConfigError(
                f"{what}: {which} other ones than the chief; start all workers with the same "
                "command, on the same data"
            )

    def wait(self) -> None:
        self._sum_array(np.int64(0))

    @contextmanager
    def watch(self) -> Iterator[None]:
        import tensorflow as tf

        errors = tf.errors
        try:
            yield
        except (errors.UnavailableError, errors.AbortedError, errors.CancelledError) as error:
            raise WorkerError(
                f"worker {self.index} of {self.count} lost another one; see there why it stopped, "
                "then start all of them again with --resume"
            ) from error

    def _sum_array(self, array: Any) -> npt.NDArray[Any]:
        import tensorflow as tf

        from edgecap_convert.tracing import traced

        tensor = tf.constant(array)
        key = (tensor.dtype.name, tuple(tensor.shape))
        if key not in self._sums:
            spec = tf.TensorSpec(tensor.shape, tensor.dtype)
            self._sums[key] = traced(self._reduced).get_concrete_function(spec)
        return self._sums[key](tensor).numpy()

    def _reduced(self, tensor: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        def within(value: tf.Tensor) -> tf.Tensor:
            # A placeholder stands on no device, and could not be sent.
            return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(value))

        return self._strategy.run(within, (tensor,))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
