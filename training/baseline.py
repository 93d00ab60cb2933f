"""The baseline ranker, "v0": its terms by name, their weights, and the formulas that whoever computes it shares.

    score(viewer, room) =   visited  · habit of the viewer for the streamer, 0..1
                          + content  · cosine of the mean of the viewer's recent rooms and the room, 0 if negative
                          + category · root of the share of the room's category in the visits, 1 = the largest
                          + language · the same of the room's language
                          + arrivals · log of how many came lately from where the viewer was last, 1 = 32 of them
                          + trending · log of entries of the last minute and ten, newcomers' count more, 1 = the hottest
                          + crowd    · log of audience and chat rate, 1 = the largest
                          + rising   · log of how much faster chat is now than in the last minute, 1 = 4.5 times
                          + fresh    · 0.5^(age / half-life)

Each term lies in 0..1, so that a weight says how much its term can move a room. A replica computes them from its tables
(actors/recommend: baseline_score.py, global_lists.py, viewer_taste.py), the gate from examples (logged_baseline.py).
The weights were found on recorded chat and the simulator together (docs/results.md).
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from streaming.events import ACTIVITY_BUCKET_MS
from streaming.room.slice import HEARD_PER_VIEWER, SLICE_MS
from training.settings import BaselineWeights

TERMS = tuple(term.name for term in fields(BaselineWeights))
HEAT = ("newcomers_60s", "newcomers_600s", "entries_60s", "entries_600s")  # the features that `heat` takes
Values = TypeVar("Values", bound=Any)  # arrays of numpy, or torch's tensors

VISIT_HALF_LIFE_S = 6 * 3_600.0  # of visits, back from the viewer's last: tonight's count more than yesterday's
BROAD_WEIGHT = 0.2  # of a visit under the label for everything: it says little of what the room was about
FORGETTING = 0.1  # a habit fades as a power of its age, not by halves: after a day .93 is left, after a month .71
PER_LOG_MINUTE, PER_SIGN = 0.2, 0.06  # what a visit counts more for its length, and for each chat, like and gift
TEN_SECONDS_IN_A_MINUTE = 6
FASTEST = 1.5  # logarithm of how many times as fast counts as 1: few rooms are faster
ALONE = HEARD_PER_VIEWER * ACTIVITY_BUCKET_MS / SLICE_MS  # messages that one chatter can have in ten seconds
SMALL = math.log1p(10)  # where the largest number is below ten, nothing is large


def strength(visits: NDArray[np.floating], ago_days: NDArray[np.floating]) -> NDArray[np.float64]:
    """How strong habits are, in [0, 1): one visit is half of one, three are three quarters; and they fade."""
    strong: NDArray[np.float64] = visits / (visits + 1) * (1 + np.maximum(ago_days, 0)) ** -FORGETTING
    return strong


def heat(newcomers_60s: Values, newcomers_600s: Values, entries_60s: Values, entries_600s: Values) -> Values:
    """How hot rooms are: entries of the last minute and, to tell quiet rooms apart, of the last ten.

    Those of newcomers count more: a viewer without habits goes where the crowd goes now.
    """
    everybody = entries_60s + 0.2 * entries_600s
    hot: Values = newcomers_60s + 0.2 * newcomers_600s + 0.2 * everybody
    return hot


def rise(messages_10s: NDArray[np.floating], messages_60s: NDArray[np.floating]) -> NDArray[np.floating]:
    """How much faster chat is in the last ten seconds than in the last minute, 0..1.

    1: four and a half times as fast, as where a crowd has just come; what one chatter alone can write does not count.
    """
    faster = np.log1p(TEN_SECONDS_IN_A_MINUTE * np.maximum(messages_10s - ALONE, 0)) - np.log1p(messages_60s)
    rising: NDArray[np.floating] = np.clip(faster / FASTEST, 0, 1)
    return rising


def fresh(age_s: NDArray[np.floating], half_life_s: float) -> NDArray[np.floating]:
    """0.5^(age / half-life), of ages of 0 and more."""
    young: NDArray[np.floating] = np.exp2(-np.maximum(age_s, 0) / half_life_s)
    return young
