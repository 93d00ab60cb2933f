"""An item's explanation as numbers to draw: the waterfall of its score, and the times of its receipt. Never draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET

from tidecast_client import Item, Receipt

SAME = 1e-3  # answers round: terms whose sum is this near to the score are what the score is the sum of
LONGEST_MS = 120_000  # a time line that is longer shows nothing of its short parts


@dataclass(frozen=True, slots=True)
class Step:
    """A bar of a waterfall, from `low` to `high`. value: its signed length."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A score's terms, largest first. adds_up: the score is their sum; else each is a figure of its own, from 0."""

    steps: Sequence[Step]
    adds_up: bool


def waterfall(item: Item) -> Waterfall:
    """The terms of an item; without steps where the answer was not asked to explain."""
    terms: Mapping[str, float] = item.terms if item.terms is not UNSET else {}
    adds_up = bool(terms) and abs(sum(terms.values()) - item.score) <= SAME * max(1.0, abs(item.score))
    steps, level = [], 0.0
    for name, value in sorted(terms.items(), key=lambda term: -abs(term[1])) if adds_up else terms.items():
        start = level if adds_up else 0.0
        steps.append(Step(name, value, min(start, start + value), max(start, start + value)))
        level += value
    return Waterfall(tuple(steps), adds_up)


@dataclass(frozen=True, slots=True)
class ReceiptTimes:
    """A receipt as durations, in ms. heard: whether the vector saw chat; else it saw the title alone."""

    heard: bool
    to_servable_ms: int  # from the newest chat that the vector saw, or 0
    to_answer_ms: int  # from servable to this answer

    @property
    def servable_share(self) -> float:
        """The share of the line, 0..1, that lies before servable."""
        whole = min(self.to_servable_ms, LONGEST_MS) + min(self.to_answer_ms, LONGEST_MS)
        return min(self.to_servable_ms, LONGEST_MS) / whole if whole else 0.0


def receipt_times(receipt: Receipt, answered_ms: int) -> ReceiptTimes:
    """The times of a receipt in an answer of `answered_ms`. Clocks of two hosts differ: none is below 0."""
    heard = receipt.segment_end_ms > 0
    to_servable_ms = receipt.servable_ms - receipt.segment_end_ms if heard else 0
    return ReceiptTimes(heard, max(0, to_servable_ms), max(0, answered_ms - receipt.servable_ms))


def duration(ms: float) -> str:
    """A duration in words: "340 ms", "2.3 s", "4 min", "3 h"."""
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.1f} s"
    return f"{ms / 60_000:.0f} min" if ms < 3_600_000 else f"{ms / 3_600_000:.0f} h"
