"""Folders of clips as training material."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edgecap.clips import Clip, find_clips
from edgecap.errors import DataError
from edgecap.evaluation import Recording, Segment
from edgecap.spec import check_labels
from edgecap.synthetic import BACKGROUND
from edgecap_convert.data.sequences import FrameFormat, LabelledFrame

_VALIDATION_SHARE = 0.2
# At the start of a clip nothing can be known: no loss for this share of it.
_GRACE_SHARE = 0.25
# How often a clip goes on with the state that the clip before it left, as on a live camera.
_JOIN_PROBABILITY = 0.3


class ClipData:
    """Clips from a folder per class, decoded into memory; one in five of each class validates.

    Args:
      name: the folder.
      frames: size and rate.
      seed: decides which clips validate.

    Raises:
      DataError: no clips, one class, a class with a single clip, or an unreadable clip.
      SpecError: a class folder whose name cannot be a label.
    """

    def __init__(self, name: str, frames: FrameFormat, *, seed: int) -> None:
        self.name = name
        clips = find_clips(name)
        self.labels = tuple(dict.fromkeys(clip.label for clip in clips))
        if len(self.labels) < 2:
            raise DataError(
                f"{name}: all {len(clips)} clips are of one class, {self.labels[0]!r}; expected at "
                "least two class folders"
            )
        check_labels(self.labels)
        self._fingerprint = _fingerprint(Path(name), clips)
        self.background = BACKGROUND if BACKGROUND in self.labels else None
        # Closed by the with statement also on errors, so that their message starts a line.
        with tqdm(clips, desc="decode", unit="clip") as bar:
            decoded = [(clip, _decode(clip, frames)) for clip in bar]
        held_out = _hold_out(clips, np.random.default_rng(seed))
        self._training = [
            (images, self.labels.index(clip.label))
            for clip, images in decoded
            if clip not in held_out
        ]
        self.validation: tuple[Recording, ...] = tuple(
            _recording(clip, images, frames.rate_hz) for clip, images in decoded if clip in held_out
        )

    def stream(self, rng: np.random.Generator) -> Iterator[LabelledFrame]:
        """Clips in shuffled rounds, classes balanced."""
        by_class = [
            [images for images, label in self._training if label == number]
            for number in range(len(self.labels))
        ]
        while True:
            for label in rng.permutation(len(by_class)).tolist():
                images = by_class[label][int(rng.integers(len(by_class[label])))]
                joined = rng.random() < _JOIN_PROBABILITY
                settled = round(_GRACE_SHARE * len(images))
                for index, image in enumerate(images):
                    yield LabelledFrame(
                        image=image,
                        label=label,
                        weight=1.0 if index >= settled else 0.0,
                        reset=index == 0 and not joined,
                    )

    def summary(self) -> dict[str, Any]:
        counts = Counter(self.labels[label] for _, label in self._training)
        return {
            "kind": "clips",
            "training_clips": dict(counts),
            "validation_clips": dict(Counter(r.truth[0] for r in self.validation)),
            "split": "by clip",
            "fingerprint": self._fingerprint,
        }


def _hold_out(clips: list[Clip], rng: np.random.Generator) -> set[Clip]:
    held_out: set[Clip] = set()
    for label in dict.fromkeys(clip.label for clip in clips):
        members = [clip for clip in clips if clip.label == label]
        if len(members) < 2:
            raise DataError(
                f"class {label!r} has one clip; expected at least two, one to train on and one to "
                "validate with"
            )
        count = max(1, round(_VALIDATION_SHARE * len(members)))
        held_out.update(members[i] for i in rng.permutation(len(members))[:count])
    return held_out


def _fingerprint(root: Path, clips: list[Clip]) -> str:
    """Changes when clips come, go or are renamed: then the split is another one too."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.path.relative_to(root)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _decode(clip: Clip, frames: FrameFormat) -> npt.NDArray[np.uint8]:
    return np.stack([image for image, _ in clip.read(frames.input, frames.rate_hz)])


def _recording(clip: Clip, images: npt.NDArray[np.uint8], rate_hz: float) -> Recording:
    return Recording(
        name=str(clip.path),
        images=images,
        timestamps_s=np.arange(len(images)) / rate_hz,
        truth=(clip.label,) * len(images),
        segments=(Segment(clip.label, 0, len(images)),),
        is_stream=False,
    )
