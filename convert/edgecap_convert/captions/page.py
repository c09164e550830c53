"""Pages for people: a captioning training with its good and bad examples, and a conversion."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from markupsafe import Markup
from matplotlib.figure import Figure

from edgecap.captioning.overlay import overlay
from edgecap.dataset.captions import CaptionedImage
from edgecap.durable import write_atomically
from edgecap.evaluation.captions import CaptionScores
from edgecap.extras import require_cv2
from edgecap.images import read_image
from edgecap.preprocess import resize
from edgecap_convert.captions.card import score_table, sentences
from edgecap_convert.captions.network import CaptionNetwork
from edgecap_convert.captions.runs import PAGE, CaptionRun
from edgecap_convert.models.network import normalize
from edgecap_convert.report.drawing import ACCENT, STYLE, WARM, svg
from edgecap_convert.report.formats import count, duration
from edgecap_convert.report.rendering import render

# Examples of each kind, and the height that pictures and their words are shown at.
_EXAMPLES, _PICTURE, _WORD = 6, 224, 112
_QUALITY = 78
_RULES = (
    "BLEU counts runs of words that people used too, over all pictures together; ROUGE-L the "
    "longest sequence in common; CIDEr-D weighs words by how telling they are, and is the figure "
    "that chooses the network. All by pycocoevalcap, over lower-case words without punctuation.",
    "A word's picture is bright where the network looked for it, the mean over its heads.",
    "Good, middling and bad are by each picture's own CIDEr-D: a right sentence that nobody said "
    "counts as bad, too.",
)
_PARITY_RULES = (
    _RULES[0],
    "A step (LSB) is one step of a tensor's int8 grid; a cell state in float is measured in "
    "1/128. Of each picture: what the encoder gives. Each word: from the states that the "
    "fake-quantised network had. Running freely: each carries its own states along a sentence "
    "that a person wrote.",
    "A file that fails a gate is not written.",
)


def write_page(
    run: CaptionRun,
    network: CaptionNetwork,
    images: Sequence[CaptionedImage],
    found: Mapping[str, str],
    scores: CaptionScores,
    metrics: Mapping[str, Any],
    history: Any,
) -> None:
    """Writes the page of a training.

    Args:
      run, network: see there. images: that it was measured on. found: their captions.
      scores: of these. metrics: what ``metrics.json`` holds. history: a ``train.History``.
    """
    order = sorted(images, key=lambda image: -scores.each[image.name])
    middle = len(order) // 2
    kinds = {
        "Good": order[:_EXAMPLES],
        "Middling": order[middle : middle + _EXAMPLES],
        "Bad": order[::-1][:_EXAMPLES],
    }
    data = metrics["data"]
    page = render(
        "captions.html",
        data={"title": run.path.name},
        facts=[
            f"data {data['name']}",
            f"{count(data['train'])} pictures taught, {count(data['validation'])} chose, "
            f"{count(data['test'])} measured",
            f"{count(metrics['words'])} words",
            f"trained in {duration(metrics['seconds'])}",
        ],
        cards=_cards(metrics["test"]),
        curve=_curve(history.validated),
        kinds=[
            (kind, [_example(run, network, i, found[i.name], scores.each[i.name]) for i in chosen])
            for kind, chosen in kinds.items()
        ],
        rules=_RULES,
    )
    write_atomically(run.path / PAGE, page.encode("utf-8", "replace"))


def write_parity_page(path: Path, record: Mapping[str, Any], title: str) -> None:
    """Writes the page of a conversion; ``record``: what ``parity.json`` holds."""
    file = list(record["accuracy"])[-1]
    cards = _cards(record["accuracy"][file])
    cards.append(
        {
            "name": "same sentences",
            "value": f"{record['same_as_float'] * 100:.1f} %",
            "detail": "as the float network's",
        }
    )
    cards.append(
        {
            "name": "size",
            "value": f"{record['bytes'] / 1e6:.2f} MB",
            "detail": f"{record['caption_ms']:.1f} ms a caption, beam {record['beam']}",
        }
    )
    headings, *rows = score_table(dict(record))
    page = render(
        "caption_parity.html",
        data={"title": title},
        facts=[
            f"recipe {record['recipe']}",
            record["runtime"],
            f"measured on the {record['data']}: {count(record['recordings'])} pictures",
        ],
        cards=cards,
        headings=headings,
        rows=rows,
        told=sentences(dict(record)),
        steps=_steps(record.get("steps")),
        gates=record.get("gates", []),
        operators=[
            (part, ", ".join(f"{each['count']} {each['name']} {each['dtype']}" for each in counts))
            for part, counts in record["operators"].items()
        ],
        rules=_PARITY_RULES if record.get("steps") else _PARITY_RULES[:1],
    )
    write_atomically(path, page.encode("utf-8", "replace"))


def _cards(scores: Mapping[str, float]) -> list[dict[str, str]]:
    return [
        {"name": name, "value": f"{scores[key]:.3f}", "detail": detail}
        for name, key, detail in (
            ("CIDEr-D", "cider_d", "telling words in common"),
            ("BLEU-4", "bleu_4", "runs of four words in common"),
            ("BLEU-1", "bleu_1", "words in common"),
        )
    ]


def _curve(validated: Sequence[Mapping[str, float]]) -> Markup | None:
    """CIDEr-D and BLEU-4 of the validation, epoch by epoch."""
    if not validated:
        return None
    epochs = np.arange(1, len(validated) + 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.2), layout="constrained")
        axes = figure.subplots()
        for key, name, colour in (("cider_d", "CIDEr-D", ACCENT), ("bleu_4", "BLEU-4", WARM)):
            values = [each[key] for each in validated]
            axes.plot(epochs, values, color=colour, marker="o", markersize=3)
            axes.annotate(
                name, (epochs[-1], values[-1]), (6, 0), textcoords="offset points", color=colour
            )
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        axes.set_xlim(right=epochs[-1] + max(1.2, 0.18 * len(epochs)))
        return svg(figure, "Validation, epoch by epoch")


def _example(
    run: CaptionRun,
    network: CaptionNetwork,
    image: CaptionedImage,
    caption: str,
    score: float,
) -> dict[str, Any]:
    picture = read_image(image.path)
    cv2 = require_cv2("to draw pictures")
    scale = _PICTURE / picture.shape[0]
    size = (max(1, round(picture.shape[1] * scale)), _PICTURE)
    small = cv2.resize(picture, (_WORD, _WORD), interpolation=cv2.INTER_AREA)
    maps = attention_of(run, network, picture, caption)
    return {
        "picture": _data(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)),
        "caption": caption,
        "score": f"{score:.2f}",
        "truth": image.captions,
        "words": [
            (word, _data(overlay(small, each)))
            for word, each in zip(caption.split(), maps, strict=True)
        ],
    }


def attention_of(
    run: CaptionRun, network: CaptionNetwork, picture: npt.NDArray[np.uint8], caption: str
) -> npt.NDArray[np.float32]:
    """Where a network looks for each word of a sentence: ``(words, rows, columns)``."""
    seen = resize(picture, run.input)
    scene = network.look(network.encode(normalize(tf.constant(seen[None]))))
    h, c, word = scene.hidden, tf.zeros_like(scene.hidden), run.vocabulary.start
    maps = []
    for number in run.vocabulary.numbers(caption, longest=run.config.longest):
        _, attention, h, c = network.step(tf.constant([word]), scene, h, c)
        maps.append(attention.numpy()[0, :, 0].mean(axis=0).reshape(network.cells))
        word = number
    return np.stack(maps)[: len(caption.split())]


def _data(image: npt.NDArray[np.uint8]) -> str:
    cv2 = require_cv2("to draw pictures")
    _, encoded = cv2.imencode(".webp", image[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _steps(steps: Mapping[str, Any] | None) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Tables of differences: heading → rows of tensor, mean, largest, within 1."""
    if not steps:
        return []
    headings = {
        "encode": "Of each picture",
        "each_step": "Each word",
        "free_running": "Running freely",
    }
    return [
        (
            heading,
            [
                (
                    name,
                    [
                        f"{found['mean']:.3g}",
                        f"{found['largest']:.3g}",
                        f"{found['within_one'] * 100:.2f} %",
                    ],
                )
                for name, found in steps[kind]["tensors"].items()
            ],
        )
        for kind, heading in headings.items()
    ]
