"""How often variants without a difference are called different, over many salts and one log. No test is here.

A salt draws variants anew, without any viewer knowing of it: each is an A/A test of its own on the same viewers and
events. Another simulation for each would take a thousand times as long, and say the same of the intervals; it would
say more only of what differs from day to day, which a simulator does not have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streaming.operator_rule import OperatorRule
from tests.simulated_guests import log_of
from training.experiments import Experiment, Variant
from training.report.attribution import Attribution
from training.report.breakdown import ViewerSums, sums_of
from training.report.comparison import compared
from training.report.sample_ratio import sample_ratio
from training.report.shown_rooms import ShownRooms

ALARM = 0.05
PAIR = Experiment(name="aa", variants=(Variant(name="a"), Variant(name="b")))
METRICS = ("enter", "stay_s", "follow")


@dataclass(frozen=True, slots=True)
class Alarms:
    """Shares of the salts with p < .05, by metric. by_impression: of entering, if impressions were independent.

    mismatches: shares of the salts with a sample ratio mismatch.
    """

    salts: int
    by_metric: dict[str, float]
    by_impression: float
    mismatches: float


def shown_of(guests: int, seconds: int, *, gain: float = 1.0) -> ShownRooms:
    """What guests were shown and made of it; those of the second variant like rooms `gain` times as easily."""

    def gains(viewer: str) -> float:
        return gain if PAIR.variant_of(viewer) == PAIR.variants[1] else 1.0

    attribution = Attribution(600)
    for record in log_of(guests, seconds, [PAIR], gain=gains):
        attribution.apply(record)
    return attribution.joined().shown


def shown_by_rule(guests: int, seconds: int, experiment: Experiment, rule: OperatorRule, liked: str) -> ShownRooms:
    """What guests were shown and made of it, all of whom like one room eight times as easily, with a rule."""
    attribution = Attribution(600)
    appeal = {liked: 8.0}
    for record in log_of(guests, seconds, [experiment], appeal=lambda room: appeal.get(room, 1.0), rules=[rule]):
        attribution.apply(record)
    return attribution.joined().shown


def false_alarms(shown: ShownRooms, salts: int) -> Alarms:
    """Compares the same viewers under each salt."""
    sums = sums_of(shown)
    viewers = [shown.viewers[viewer] for viewer in sums.viewer_V.tolist()]
    found, naive, mismatches = dict.fromkeys(METRICS, 0), 0, 0
    for salt in range(salts):
        variant_V = np.array([PAIR.index_of(viewer, f"salt {salt}") for viewer in viewers], np.int32)
        _, other = compared(["a", "b"], sums, variant_V)
        for metric in METRICS:
            found[metric] += getattr(other, metric).p < ALARM
        naive += by_impression(sums.of(variant_V == 0), sums.of(variant_V == 1)) < ALARM
        counts = np.bincount(variant_V, minlength=2)
        mismatches += sample_ratio(counts.tolist(), [1, 1]).mismatch
    shares = {metric: count / salts for metric, count in found.items()}
    return Alarms(salts, shares, naive / salts, mismatches / salts)


def by_impression(one: ViewerSums, other: ViewerSums) -> float:
    """The p of two shares of impressions as if these were independent: what the report does not do."""
    entered, shown = one.entered_V.sum() + other.entered_V.sum(), one.shown_V.sum() + other.shown_V.sum()
    rate = entered / shown
    error = math.sqrt(rate * (1 - rate) * (1 / one.shown_V.sum() + 1 / other.shown_V.sum()))
    difference = one.entered_V.sum() / one.shown_V.sum() - other.entered_V.sum() / other.shown_V.sum()
    return math.erfc(abs(float(difference)) / error / math.sqrt(2))
