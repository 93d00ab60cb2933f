"""The report of an evaluation: groups of visits, and every ranker's figures in them. Never ranks, never prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import Group, Interval, Spread, measure, small, spread
from training.features.features import COLUMN
from training.features.visit_kinds import VisitKind
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits

# visits of a channel before the one measured: a streamer without a past is the harder case
HISTORIES = ((0, 100), (100, 1_000), (1_000, 10_000), (10_000, 2**62))
YOUNG_S = 600  # a room's first ten minutes


@dataclass(frozen=True, slots=True)
class Result:
    """A ranker's figures. histories: by earlier visits to the channel entered. apart: further groups.

    differences: to the reference, by the names in groups and apart, and by metric.
    """

    groups: Mapping[str, Group]
    histories: Mapping[str, Group]
    apart: Mapping[str, Group]
    differences: Mapping[str, Mapping[str, Interval]]
    spread: Spread
    score_us: float  # mean time of scoring one visit
    request_us: float  # the part that a replica does in a request: rooms and viewers are prepared before


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of an evaluation. surprises: positives outside the candidates. mean_live: rooms ranked per visit.

    against: the ranker that the others are compared with, "" for none. cold_streamers: channels absent from training.
    """

    train_messages: int
    train_visits: int
    learned_visits: int
    test_messages: int
    test_visits: int
    test_viewers: int
    surprises: int
    mean_live: float
    against: str
    cold_streamers: int
    results: Mapping[str, Result]


class RankTally:
    """The results of one ranker by visit. rank_V: of the room entered, from 1."""

    def __init__(self, num_visits: int, num_channels: int) -> None:
        self.rank_V = np.zeros(num_visits, np.int32)
        self.places_C = np.zeros(num_channels, np.int64)
        self.spent_s = 0.0
        self.request_s = 0.0

    def add(self, first: int, rank_B: NDArray[np.integer], channel_K: NDArray[np.integer]) -> None:
        """Adds the results of visits from number `first` on. channel_K: in the first ten places of their rankings."""
        self.rank_V[first : first + len(rank_B)] = rank_B
        self.places_C += np.bincount(channel_K, minlength=len(self.places_C))


class Seen:
    """The visits of the test, for the groups that are measured."""

    def __init__(self, chat: Chat, num_visits: int, learned: int, cold_C: NDArray[np.bool_] | None) -> None:
        """cold_C: channels absent from training, if any were held out."""
        self.learned = learned
        self.cold_C = cold_C
        self.kind_V = np.zeros(num_visits, np.int8)
        self.viewer_V = np.zeros(num_visits, np.int32)
        self.channel_V = np.zeros(num_visits, np.int32)
        self.history_V = np.zeros(num_visits, np.int64)
        self.young_V = np.zeros(num_visits, bool)
        self.surprise_V = np.zeros(num_visits, bool)
        self.live_V = np.zeros(num_visits, np.int32)
        self.live_C = np.zeros(len(chat.channels), bool)

    def add(self, first: int, visits: RecordedVisits) -> None:
        """Adds visits of the test, from number `first` on."""
        sets, entered_R = visits.sets, visits.entered_R
        at = slice(first, first + len(visits))
        entered_BF = sets.features_RF[entered_R]
        self.kind_V[at], self.viewer_V[at] = sets.kind_V, visits.viewer_V
        self.channel_V[at] = visits.channel_R[entered_R]
        self.history_V[at], self.surprise_V[at] = entered_BF[:, COLUMN["total_visits"]], visits.outside_V
        self.young_V[at] = entered_BF[:, COLUMN["room_age_s"]] < YOUNG_S
        self.live_V[at] = sets.size_V
        self.live_C[visits.channel_R] = True

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """The visits of each kind, bool [V]."""
        named = {"repeat": VisitKind.REPEAT, "new": VisitKind.NEW, "cold": VisitKind.COLD}
        return {"all": self.kind_V >= 0, **{name: self.kind_V == kind for name, kind in named.items()}}

    def histories(self) -> dict[str, NDArray[np.bool_]]:
        """The visits by the number of earlier visits to the channel, bool [V]."""
        return {
            f"{low:,} to {high - 1:,}" if high < 2**62 else f"{low:,} or more": (self.history_V >= low)
            & (self.history_V < high)
            for low, high in HISTORIES
        }

    def apart(self) -> dict[str, NDArray[np.bool_]]:
        """The visits of further groups, bool [V]."""
        apart = {"not live before": self.surprise_V, "first 10 minutes": self.young_V}
        if self.cold_C is not None:
            cold_V = self.cold_C[self.channel_V]
            apart |= {"held-out streamers": cold_V, "held out, 10 minutes": cold_V & self.young_V}
        return apart


def build(
    chat: Chat, train_kind_M: NDArray[np.int8], seen: Seen, tallies: Mapping[str, RankTally], *, against: str, seed: int
) -> Report:
    """Measures every ranker on the same draws. against: "" or a name among the tallies."""
    train_visit_M = train_kind_M != VisitKind.NO_VISIT
    visits_C = np.bincount(chat.channel_M[: chat.num_train][train_visit_M], minlength=len(chat.channels))
    small_C = small(visits_C, seen.live_C)
    groups, histories, apart = seen.groups(), seen.histories(), seen.apart()
    reference = list(tallies).index(against) if against else None
    rank_RV = np.stack([tally.rank_V for tally in tallies.values()])
    measures = measure(rank_RV, seen.viewer_V, {**groups, **histories, **apart}, seed, reference)
    results = {}
    for (name, tally), measured in zip(tallies.items(), measures, strict=True):
        results[name] = Result(
            groups={group: measured.groups[group] for group in groups},
            histories={group: measured.groups[group] for group in histories},
            apart={group: measured.groups[group] for group in apart},
            differences={
                group: found for group, found in measured.differences.items() if group in groups or group in apart
            },
            spread=spread(tally.places_C, seen.live_C, small_C),
            score_us=1e6 * tally.spent_s / len(tally.rank_V),
            request_us=1e6 * tally.request_s / len(tally.rank_V),
        )
    return Report(
        train_messages=chat.num_train,
        train_visits=int(train_visit_M.sum()),
        learned_visits=seen.learned,
        test_messages=len(chat.at_us_M) - chat.num_train,
        test_visits=len(seen.kind_V),
        test_viewers=len(np.unique(seen.viewer_V)),
        surprises=int(seen.surprise_V.sum()),
        mean_live=float(seen.live_V.mean()),
        against=against,
        cold_streamers=0 if seen.cold_C is None else int(np.count_nonzero(seen.cold_C)),
        results=results,
    )
