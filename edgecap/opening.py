"""Opens a model file as far as its user trusts it: signature and probe, before native code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecap.bundle import Bundle, read_bundle
from edgecap.interpreter import DEFAULT_KERNELS

if TYPE_CHECKING:
    from pathlib import Path


def open_bundle(
    path: str | Path,
    *,
    public_key: str | Path | None = None,
    probe: bool = False,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
) -> Bundle:
    """Reads a model file and checks it.

    Args:
      path: the file.
      public_key: a PEM file; only a model signed with its private key is taken.
      probe: a model that is not known here runs in a child process first.
      threads, kernels, backend: of that child; see :func:`edgecap.load`.

    Raises:
      ModelFileError, SpecError: see :func:`edgecap.bundle.read_bundle`.
      SignatureError: it is not signed, by another key, or was changed since.
      BackendError: the child process died of the model; see :func:`edgecap.probe.probe`.
    """
    bundle = read_bundle(path)
    if public_key is not None:
        from edgecap.signature import require_signature

        require_signature(path, bundle, public_key)
    if probe:
        from edgecap.probe import probe_once

        probe_once(path, bundle, threads=threads, kernels=kernels, backend=backend)
    return bundle
