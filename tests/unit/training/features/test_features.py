"""What the features of a visit are, against counts made by hand."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.training.recorded.recorded_chat import Said, chat_of, crowd, visits_of
from training.features.features import COLUMN, FEATURES
from training.features.visit_kinds import VisitKind

BASE_S = 1_700_000_000  # at the edge of a bucket of ten seconds


class Visit(NamedTuple):
    """The last message of a recording as a visit about to happen."""

    live: list[int]  # channels
    features_NF: NDArray[np.float32]
    entered: int  # channel
    outside: bool
    kind: int


def visit_of(*said: Said) -> Visit:
    chat = chat_of(said, 0)
    wanted_M = np.arange(len(said)) == len(said) - 1
    with TemporaryDirectory() as folder:
        test = visits_of(chat, Path(folder), wanted_M=wanted_M).test
    live, sets = test.channel_R.tolist(), test.sets
    return Visit(live, sets.features_RF, live[sets.entered_V[0]], bool(test.outside_V[0]), int(sets.kind_V[0]))


def value(visit: Visit, name: str, channel: int) -> float:
    return float(visit.features_NF[visit.live.index(channel), COLUMN[name]])


def at(seconds: float, channel: str, viewer: str) -> Said:
    return Said(BASE_S + seconds, channel, viewer)


def test_every_feature_has_a_column_and_is_finite_or_not_known() -> None:
    visit = visit_of(at(0, "a", "v"), at(1, "b", "w"), at(2, "b", "v"))
    assert visit.features_NF.shape == (2, len(FEATURES))
    assert visit.features_NF.dtype == np.float32
    assert not np.isinf(visit.features_NF).any()


def test_crowd_counts_messages_entries_and_newcomers_of_the_time_before() -> None:
    visit = visit_of(at(0, "a", "v"), at(1, "a", "v"), at(2, "b", "v"), at(3, "a", "w"), at(4, "b", "x"))
    a, b = 0, 1
    assert [value(visit, "messages_60s", c) for c in (a, b)] == [3, 1]
    assert [value(visit, "entries_60s", c) for c in (a, b)] == [2, 1]
    assert [value(visit, "first_entries_60s", c) for c in (a, b)] == [2, 1]
    assert [value(visit, "newcomers_60s", c) for c in (a, b)] == [2, 0]
    assert value(visit, "room_age_s", a) == 4
    assert [value(visit, "room_silence_s", c) for c in (a, b)] == [1, 2]
    assert visit.entered == b
    assert visit.kind == VisitKind.COLD


def test_the_audience_are_those_who_came_and_are_not_elsewhere() -> None:
    said = at(0, "a", "v"), at(1, "a", "w"), at(2, "a", "x"), at(3, "b", "v"), at(4, "c", "y"), at(5, "c", "z")
    visit = visit_of(*said, at(6, "b", "w"))
    a, b, c = 0, 1, 2
    assert [value(visit, name, a) for name in ("audience", "audience_rank")] == [2, 0]
    assert all(np.isnan(value(visit, name, x)) for name in ("audience", "audience_rank") for x in (b, c))
    again = visit_of(*said, at(6, "b", "w"), at(7, "a", "v"), at(8, "c", "x"))
    assert [value(again, "audience", x) for x in (a, b)] == [2, 1]
    assert [value(again, "audience_rank", x) for x in (a, b)] == pytest.approx([0, 1 / 3])


def test_who_fell_silent_is_there_for_half_an_hour_and_the_minute_in_which_late_events_still_count() -> None:
    said = [at(0, "a", "v"), at(1, "a", "w"), at(2, "b", "w"), at(30, "a", "v"), at(1_200, "a", "x")]
    for seconds, audience in ((1_870, 2), (1_889, 2), (1_890, 1)):  # 30 s, half an hour and a minute
        assert (
            value(visit_of(*said, at(1_868, "a", "x"), at(1_869, "b", "y"), at(seconds, "b", "z")), "audience", 0)
            == audience
        )


def test_who_leaves_a_broadcast_that_is_over_is_not_missed_in_the_next() -> None:
    said = at(0, "a", "v"), at(1, "a", "w"), at(2_000, "a", "x"), at(2_001, "a", "y"), at(2_002, "b", "v")
    assert np.isnan(value(visit_of(*said, at(2_003, "b", "z")), "audience", 0))
    assert value(visit_of(*said, at(2_003, "b", "x"), at(2_004, "b", "z")), "audience", 0) == 1


def test_a_span_leaves_out_the_part_of_the_oldest_bucket_that_has_passed() -> None:
    visit = visit_of(at(0, "a", "v"), at(12.5, "a", "w"), at(14, "a", "x"))
    assert value(visit, "messages_10s", 0) == pytest.approx(1 + 0.6)  # .4 of the bucket of second 0 has passed
    assert value(visit, "messages_60s", 0) == 2
    assert value(visit_of(at(0, "a", "v"), at(25, "a", "x")), "messages_10s", 0) == 0


def test_own_past_counts_visits_messages_and_how_long_ago() -> None:
    said = at(0, "a", "v"), at(1, "a", "v"), at(2, "b", "v"), at(3, "a", "v"), at(4, "c", "w"), at(9, "c", "v")
    visit = visit_of(*said)
    a, b, c = 0, 1, 2
    assert [value(visit, "own_visits", x) for x in (a, b, c)] == [2, 1, 0]
    assert [value(visit, "own_messages", x) for x in (a, b, c)] == [3, 1, 0]
    assert [value(visit, "own_silence_s", x) for x in (a, b)] == [6, 7]
    assert np.isnan(value(visit, "own_silence_s", c))
    assert [value(visit, "own_recency", x) for x in (a, b)] == [0, 1]
    assert [value(visit, "own_here", x) for x in (a, b, c)] == [2, 0, 0]
    assert value(visit, "own_overdue", a) == 2  # twice as long ago as its visits lie apart
    assert value(visit, "viewer_known_live", c) == 2
    assert value(visit, "viewer_repeat_share", c) == pytest.approx(1 / 3)


def test_moves_and_covisits_of_others_show_the_way() -> None:
    others = [Said(BASE_S + 10 * i + j, channel, f"o{i}") for i in range(3) for j, channel in enumerate("ab")]
    visit = visit_of(*others, at(40, "c", "x"), at(41, "a", "v"), at(42, "b", "v"))
    a, b, c = 0, 1, 2
    assert [value(visit, "moves_share", x) for x in (a, b, c)] == [0, 1, 0]
    assert value(visit, "covisits", b) > 0.5 > value(visit, "covisits", c) == 0


def test_live_are_channels_with_a_message_in_five_minutes_before_and_the_one_entered() -> None:
    visit = visit_of(at(0, "a", "v"), at(0.5, "b", "v"), at(300.5, "c", "w"))
    assert sorted(visit.live) == [1, 2]
    assert visit.outside
    assert value(visit, "room_silence_s", 2) == 300


def test_counts_in_buckets_agree_with_counting_all_messages_again(tmp_path: Path) -> None:
    said = crowd(5, 1500)
    chat = chat_of(said, 0)
    visits = visits_of(chat, tmp_path).test
    features_RF, channel_R = visits.sets.features_RF, visits.channel_R.tolist()
    for row, visit in enumerate(visits.visit_R.tolist()):
        if visit % 7:
            continue
        at_us = int(visits.at_us_V[visit])
        edge_us = at_us // 10_000_000 * 10_000_000
        here = (chat.at_us_M < at_us) & (chat.channel_M == channel_R[row])
        whole = here & (chat.at_us_M >= edge_us - 50_000_000)
        oldest = here & (chat.at_us_M >= edge_us - 60_000_000) & ~whole
        passed = (at_us - edge_us) / 1e7
        expected = whole.sum() + (1 - passed) * oldest.sum()
        assert features_RF[row, COLUMN["messages_60s"]] == pytest.approx(expected, rel=1e-5)


def test_a_room_is_as_old_as_its_first_message_after_half_an_hour_of_silence() -> None:
    ages = []
    for at_s in (60, 1_860, 1_900):
        said = [at(s, "a", f"v{s}") for s in (0, 60, 1_860) if s < at_s]
        ages.append(value(visit_of(*said, at(at_s - 1, "b", "w"), at(at_s, "a", "x")), "room_age_s", 0))
    assert ages == [60, 0, 40]
