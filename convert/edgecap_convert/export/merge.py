"""Two models → one, whose second subgraph and signature are those of the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecap_convert.export import flatbuffers as fb


def merge(first: bytes, second: bytes, *, names: tuple[str, str]) -> bytes:
    """Puts two models with one subgraph and one signature each into one flatbuffer.

    Constants of the same bytes are held once: an embedding, say, that answers too.

    Args:
      first, second: from the converter. names: what their signatures are called from now on.
    """
    model, other = fb.parse(first), fb.parse(second)
    codes = [
        fb.code_index(model, fb.number(entry), int(entry.version)) for entry in other.operatorCodes
    ]
    (graph,) = other.subgraphs
    for operator in graph.operators:
        operator.opcodeIndex = codes[operator.opcodeIndex]
    offset = len(model.buffers)
    model.buffers += other.buffers
    for tensor in graph.tensors:
        # Buffer 0 is that of everything that is computed.
        tensor.buffer = tensor.buffer + offset if tensor.buffer else 0
    model.subgraphs.append(graph)
    (mine,), (theirs,) = model.signatureDefs, other.signatureDefs
    mine.signatureKey, theirs.signatureKey = (name.encode() for name in names)
    theirs.subgraphIndex = 1
    model.signatureDefs.append(theirs)
    # Of the converter, and true of neither subgraph alone.
    model.metadata, model.metadataBuffer = [], None
    for number, each in enumerate(model.subgraphs):
        each.name = names[number].encode()
    _share_buffers(model)
    return fb.pack(model)


def _share_buffers(model: Any) -> None:
    """Leaves out constants that are there already, and those that nothing reads."""
    kept: list[Any] = [model.buffers[0]]
    known: dict[bytes, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if not tensor.buffer:
                continue
            buffer = model.buffers[tensor.buffer]
            data = b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
            if data not in known:
                known[data] = len(kept)
                kept.append(buffer)
            tensor.buffer = known[data]
    model.buffers = kept
