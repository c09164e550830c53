"""The result of ``benchmarks/peers.py`` as text."""

from __future__ import annotations

from typing import Any

_HEAD = (
    "side",
    "ms a frame",
    "times edgecap",
    "10 to 90 %",
    "by processor",
    "cores",
    "kB",
    "10⁶ MACs",
    "accuracy",
    "task",
)


def table(result: dict[str, Any]) -> str:
    """A line for each side, what was left out and why, and the bars."""
    rows = [_HEAD, *(_row(side) for side in result["sides"].values())]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEAD))]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if 0 < n < len(_HEAD) - 1 else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    reasons: dict[str, list[str]] = {}
    for title, why in result["left_out"].items():
        reasons.setdefault(why, []).append(title)
    lines += [f"left out: {'; '.join(titles)}: {why}" for why, titles in reasons.items()]
    for bar in result["bars"]:
        low, high = bar["interval"]
        lines.append(
            f"bar: {bar['times_edgecap']:.1f} × edgecap ({low:.1f} to {high:.1f}), "
            f"{bar['processor']:.1f} by processor time, wanted "
            f"{bar['wanted']:g} or more: {'met' if bar['met'] else 'MISSED'} ({bar['side']})"
        )
    return "\n".join(lines)


def _row(side: dict[str, Any]) -> tuple[str, ...]:
    low, high = side.get("times_edgecap_interval", (1.0, 1.0))
    macs, accuracy = side["macs"], side["accuracy"]
    return (
        side["title"],
        f"{side['step_us'] / 1e3:.3f}",
        f"{side.get('times_edgecap', 1.0):.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{side.get('times_edgecap_processor', 1.0):.2f}",
        f"{side['cores']:.2f}",
        f"{side['bytes'] / 1e3:.0f}",
        "–" if macs is None else f"{'≥ ' if side['uncounted'] else ''}{macs / 1e6:.1f}",
        "–" if accuracy is None else f"{accuracy:.1%}",
        side["task"],
    )
