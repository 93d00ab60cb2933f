"""What the features of a visit are, against counts made by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.unit.training.recorded.recorded_chat import Said, chat_of, crowd
from training.features.features import COLUMN, FEATURES
from training.features.visit_kinds import VisitKind
from training.recorded.replay_state import Moment, moments
from training.recorded.visits import kinds

BASE_S = 1_700_000_000  # at the edge of a bucket of ten seconds


def moment_of(*said: Said) -> Moment:
    """Of the last message."""
    chat = chat_of(said, 0)
    wanted_M = np.zeros(len(said), bool)
    wanted_M[-1] = True
    (moment,) = moments(chat, kinds(chat), wanted_M)
    return moment


def value(moment: Moment, name: str, channel: int) -> float:
    return float(moment.features_NF[moment.live_N.tolist().index(channel), COLUMN[name]])


def at(seconds: float, channel: str, viewer: str) -> Said:
    return Said(BASE_S + seconds, channel, viewer)


def test_every_feature_has_a_column_and_is_finite_or_not_known() -> None:
    moment = moment_of(at(0, "a", "v"), at(1, "b", "w"), at(2, "b", "v"))
    assert moment.features_NF.shape == (2, len(FEATURES))
    assert moment.features_NF.dtype == np.float32
    assert not np.isinf(moment.features_NF).any()


def test_crowd_counts_messages_entries_and_newcomers_of_the_time_before() -> None:
    moment = moment_of(at(0, "a", "v"), at(1, "a", "v"), at(2, "b", "v"), at(3, "a", "w"), at(4, "b", "x"))
    a, b = 0, 1
    assert [value(moment, "messages_60s", c) for c in (a, b)] == [3, 1]
    assert [value(moment, "entries_60s", c) for c in (a, b)] == [2, 1]
    assert [value(moment, "first_entries_60s", c) for c in (a, b)] == [2, 1]
    assert [value(moment, "newcomers_60s", c) for c in (a, b)] == [2, 0]
    assert [value(moment, "chatters_300s", c) for c in (a, b)] == [2, 1]
    assert value(moment, "room_age_s", a) == 4
    assert [value(moment, "room_silence_s", c) for c in (a, b)] == [1, 2]
    assert moment.entered == b
    assert moment.kind == VisitKind.COLD


def test_the_audience_are_those_who_came_and_are_not_elsewhere() -> None:
    said = at(0, "a", "v"), at(1, "a", "w"), at(2, "a", "x"), at(3, "b", "v"), at(4, "c", "y"), at(5, "c", "z")
    moment = moment_of(*said, at(6, "b", "w"))
    a, b, c = 0, 1, 2
    assert [value(moment, name, a) for name in ("audience", "audience_rank")] == [2, 0]
    assert all(np.isnan(value(moment, name, x)) for name in ("audience", "audience_rank") for x in (b, c))
    again = moment_of(*said, at(6, "b", "w"), at(7, "a", "v"), at(8, "c", "x"))
    assert [value(again, "audience", x) for x in (a, b)] == [2, 1]
    assert [value(again, "audience_rank", x) for x in (a, b)] == pytest.approx([0, 1 / 3])


def test_who_leaves_a_broadcast_that_is_over_is_not_missed_in_the_next() -> None:
    said = at(0, "a", "v"), at(1, "a", "w"), at(2_000, "a", "x"), at(2_001, "a", "y"), at(2_002, "b", "v")
    assert np.isnan(value(moment_of(*said, at(2_003, "b", "z")), "audience", 0))
    assert value(moment_of(*said, at(2_003, "b", "x"), at(2_004, "b", "z")), "audience", 0) == 1


def test_a_span_leaves_out_the_part_of_the_oldest_bucket_that_has_passed() -> None:
    moment = moment_of(at(0, "a", "v"), at(12.5, "a", "w"), at(14, "a", "x"))
    assert value(moment, "messages_10s", 0) == pytest.approx(1 + 0.6)  # .4 of the bucket of second 0 has passed
    assert value(moment, "messages_60s", 0) == 2
    assert value(moment_of(at(0, "a", "v"), at(25, "a", "x")), "messages_10s", 0) == 0


def test_own_past_counts_visits_messages_and_how_long_ago() -> None:
    said = at(0, "a", "v"), at(1, "a", "v"), at(2, "b", "v"), at(3, "a", "v"), at(4, "c", "w"), at(9, "c", "v")
    moment = moment_of(*said)
    a, b, c = 0, 1, 2
    assert [value(moment, "own_visits", x) for x in (a, b, c)] == [2, 1, 0]
    assert [value(moment, "own_messages", x) for x in (a, b, c)] == [3, 1, 0]
    assert [value(moment, "own_silence_s", x) for x in (a, b)] == [6, 7]
    assert np.isnan(value(moment, "own_silence_s", c))
    assert [value(moment, "own_recency", x) for x in (a, b)] == [0, 1]
    assert [value(moment, "own_here", x) for x in (a, b, c)] == [2, 0, 0]
    assert value(moment, "own_overdue", a) == 2  # twice as long ago as its visits lie apart
    assert value(moment, "viewer_known_live", c) == 2
    assert value(moment, "viewer_repeat_share", c) == pytest.approx(1 / 3)


def test_moves_and_covisits_of_others_show_the_way() -> None:
    others = [Said(BASE_S + 10 * i + j, channel, f"o{i}") for i in range(3) for j, channel in enumerate("ab")]
    moment = moment_of(*others, at(40, "c", "x"), at(41, "a", "v"), at(42, "b", "v"))
    a, b, c = 0, 1, 2
    assert [value(moment, "moves_share", x) for x in (a, b, c)] == [0, 1, 0]
    assert value(moment, "recent_moves", b) == pytest.approx(3, rel=0.15)
    assert value(moment, "covisits", b) > 0.5 > value(moment, "covisits", c) == 0


def test_live_are_channels_with_a_message_in_five_minutes_before_and_the_one_entered() -> None:
    moment = moment_of(at(0, "a", "v"), at(0.5, "b", "v"), at(300.5, "c", "w"))
    assert moment.live_N.tolist() == [1, 2]
    assert moment.surprise
    assert value(moment, "room_silence_s", 2) == 300


def test_counters_in_buckets_agree_with_counting_all_messages_again() -> None:
    said = crowd(5, 1500)
    chat = chat_of(said, 0)
    kind_M = kinds(chat)
    for moment in moments(chat, kind_M, (kind_M >= 0) & (np.arange(len(said)) % 7 == 0)):
        before = chat.at_us_M < moment.at_us
        edge_us = moment.at_us // 10_000_000 * 10_000_000
        for place, channel in enumerate(moment.live_N):
            here = before & (chat.channel_M == channel)
            whole = here & (chat.at_us_M >= edge_us - 50_000_000)
            oldest = here & (chat.at_us_M >= edge_us - 60_000_000) & ~whole
            passed = (moment.at_us - edge_us) / 1e7
            expected = whole.sum() + (1 - passed) * oldest.sum()
            assert moment.features_NF[place, COLUMN["messages_60s"]] == pytest.approx(expected, rel=1e-5)
            recent = here & (chat.at_us_M >= edge_us - 290_000_000)
            assert moment.features_NF[place, COLUMN["chatters_300s"]] == len(np.unique(chat.viewer_M[recent]))


def test_moments_come_in_time_order() -> None:
    chat = chat_of(crowd(6, 500), 0)
    kind_M = kinds(chat)
    assert all(a.at_us <= b.at_us for a, b in pairwise(moments(chat, kind_M, kind_M >= 0)))
