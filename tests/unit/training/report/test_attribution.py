"""Tests of the join: which answer a visit or follow belongs to, within which window, and why others join none."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from streaming.events import ViewerErased
from streaming.log.codec import Decoder
from streaming.log.topics import VIEWER_EVENTS
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from tests.unit.training.examples.played_chat import Unseen
from tests.unit.training.report.told import WINDOW_S, did, erased, joined, ms, shown
from training.examples.event_stream import StreamRecord
from training.examples.generator import ExamplePass
from training.examples.schema import ExamplesConfig
from training.report.attribution import LATE_MS, Attribution, JoinCounts, Joined


def entered(found: Joined) -> list[bool]:
    return found.shown.entered_N.tolist()


def counted(counts: JoinCounts) -> dict[str, int]:
    return {name: count for name, count in asdict(counts).items() if count}


def test_the_window_is_that_of_training() -> None:
    assert ExamplesConfig().shown_within_s == WINDOW_S


def test_an_enter_belongs_to_the_answer_that_it_names_though_a_newer_one_had_the_room() -> None:
    found = joined(
        shown(0, "v", "a", "b", request_id="first"),
        shown(10, "v", "b", "a", request_id="second"),
        did(20, "v", "enter", "b", request_id="first", position=2),
    )
    assert entered(found) == [False, True, False, False]
    assert counted(found.visits) == {"by_request_id": 1}


def test_an_enter_that_names_none_belongs_to_the_newest_answer_before_it_that_had_the_room() -> None:
    found = joined(
        shown(0, "v", "a", "b"),
        shown(10, "v", "b"),
        shown(12, "v", "a"),
        shown(30, "v", "b"),  # after the enter
        did(20, "v", "enter", "b"),
        did(20, "w", "enter", "b"),  # to whom nothing was shown
    )
    assert entered(found) == [False, False, True, False, False]
    assert counted(found.visits) == {"by_viewer_and_room": 1, "no_impression": 1}


@pytest.mark.parametrize("named", ["q", ""], ids=["named", "not named"])
@pytest.mark.parametrize(("after_s", "counts"), [(0, True), (WINDOW_S, True), (WINDOW_S + 1, False)])
def test_an_enter_belongs_to_an_answer_of_the_window(named: str, after_s: int, counts: bool) -> None:
    found = joined(shown(0, "v", "a", request_id="q"), did(after_s, "v", "enter", "a", request_id=named))
    assert entered(found) == [counts]
    if not counts:
        assert counted(found.visits) == ({"too_late": 1} if named else {"no_impression": 1})


def test_an_impression_may_come_after_its_event_and_an_event_may_come_late() -> None:
    ahead = joined(shown(0, "v", "a", appended_s=LATE_MS / 1e3 + 1.5), did(2, "v", "enter", "a", appended_s=2.0))
    late = joined(shown(0, "v", "a"), did(5, "v", "enter", "a", appended_s=500))
    assert entered(ahead) == entered(late) == [True]


def test_an_impression_that_comes_a_minute_after_its_event_joins_nothing_that_came_before_it() -> None:
    found = joined(did(2, "v", "enter", "a", appended_s=2.0), shown(0, "v", "a", appended_s=2.001 + LATE_MS / 1e3))
    assert entered(found) == [False]
    assert counted(found.visits) == {"no_impression": 1}


def test_an_id_that_was_not_noted_joins_nothing_also_where_an_answer_had_the_room() -> None:
    found = joined(
        shown(0, "v", "a", request_id="noted"),
        shown(0, "w", "a", request_id="of another viewer"),
        did(5, "v", "enter", "a", request_id="not noted"),
        did(6, "v", "enter", "b", request_id="noted"),
        did(7, "v", "enter", "a", request_id="of another viewer"),
    )
    assert entered(found) == [False, False]
    assert counted(found.visits) == {"unknown_request_id": 2, "other_room": 1}


def test_a_position_that_is_not_the_answers_is_counted_and_the_answers_counts() -> None:
    page = shown(0, "v", "a", "b", request_id="q", first_position=21)
    found = joined(page, did(5, "v", "enter", "b", request_id="q", position=2))
    assert found.shown.position_N.tolist() == [21, 22]
    assert counted(found.visits) == {"by_request_id": 1, "other_position": 1}
    assert counted(joined(page, did(5, "v", "enter", "b", request_id="q", position=22)).visits) == {"by_request_id": 1}


def test_a_repeated_answer_counts_once() -> None:
    answer = shown(0, "v", "a", request_id="q")
    found = joined(answer, answer, shown(1, "w", "a", request_id="q"), did(5, "v", "enter", "a", request_id="q"))
    assert (len(found.shown), found.repeated) == (2, 1)
    assert entered(found) == [True, False]


def test_stay_is_of_all_visits_that_the_impression_led_to_and_it_is_entered_once() -> None:
    found = joined(
        shown(0, "v", "a", "b"),
        did(10, "v", "enter", "a"),
        did(40, "v", "leave", "a"),
        did(50, "v", "enter", "a"),
        did(60, "v", "enter", "b"),
        did(75, "v", "watch", "b", seconds=15.0),  # and nothing more
    )
    assert entered(found) == [True, True]
    assert found.shown.stay_s_N.tolist() == [40.0, 15.0]


def test_a_follow_belongs_to_the_visit_in_which_it_happens_whenever_that_is() -> None:
    found = joined(
        shown(0, "v", "a"),
        did(10, "v", "enter", "a"),
        did(400, "v", "watch", "a", seconds=390.0),
        did(WINDOW_S + 100, "v", "follow", "a"),
        did(WINDOW_S + 100, "v", "follow", "a"),  # sent twice
    )
    assert found.shown.followed_N.tolist() == [True]
    assert counted(found.follows) == {"by_viewer_and_room": 1}


def test_a_follow_without_a_visit_belongs_to_the_answer_that_showed_the_room() -> None:
    found = joined(
        shown(0, "v", "a", "b", request_id="q"),
        did(10, "v", "follow", "a"),
        did(11, "v", "follow", "b", request_id="q"),
        did(12, "v", "follow", "c"),
    )
    assert found.shown.followed_N.tolist() == [True, True]
    assert entered(found) == [False, False]
    assert counted(found.follows) == {"by_request_id": 1, "by_viewer_and_room": 1, "no_impression": 1}


def test_what_a_viewer_demands_is_no_visit() -> None:
    found = joined(shown(0, "v", "a"), did(5, "v", "hide_room", "a"), did(6, "v", "block_streamer", "a"))
    assert entered(found) == [False]
    assert found.visits == JoinCounts()


def test_an_erased_viewer_is_in_no_figure_and_what_they_do_later_is_new() -> None:
    found = joined(
        shown(0, "v", "a"),
        shown(0, "w", "a"),
        did(5, "v", "enter", "a"),
        did(100, "v", "enter", "b", request_id="v@0"),
        erased(101, "v"),
        shown(200, "v", "c"),
        did(201, "v", "enter", "c"),
    )
    names = [found.shown.viewers[viewer] for viewer in found.shown.viewer_N.tolist()]
    assert names == ["w", "v"]
    assert entered(found) == [False, True]
    assert found.shown.answers == 2


def test_only_what_was_shown_before_the_end_counts_with_what_it_led_to_after_it() -> None:
    found = joined(shown(0, "v", "a"), shown(9, "v", "b"), did(12, "v", "enter", "a"), until_ms=ms(9))
    assert entered(found) == [True]


def test_answers_whose_events_may_still_come_are_counted() -> None:
    found = joined(shown(0, "v", "a"), shown(500, "v", "a"), did(WINDOW_S + 1, "v", "enter", "b"))
    assert (found.shown.answers, found.unsettled) == (2, 1)


def test_a_version_before_sources_were_noted_is_read() -> None:
    found = joined(shown(0, "v", "a", "b", sources=()))
    assert [found.shown.sources[source] for source in found.shown.source_N] == ["", ""]


def test_visits_are_those_of_training() -> None:
    platform = Platform(SimulationConfig(seed=3, rooms=12, viewers=150, visit_s=20.0))
    decode = Decoder(VIEWER_EVENTS)
    stream = [
        StreamRecord(event.at_ms, VIEWER_EVENTS, offset, decode(event.value))
        for offset, event in enumerate(platform.events(ms(0), ms(900)))
        if event.topic == VIEWER_EVENTS
    ]
    passing = ExamplePass(ExamplesConfig(), chat_alone=False)
    for _ in passing.examples(iter(stream), Unseen()):
        pass
    attribution = Attribution(WINDOW_S)
    for record in stream:
        attribution.apply(record)
    found = attribution.joined()
    assert passing.num_visits > 500
    assert counted(found.visits) == {"no_impression": passing.num_visits}
    assert not any(isinstance(record.record, ViewerErased) for record in stream)
    assert np.count_nonzero(found.shown.entered_N) == 0
