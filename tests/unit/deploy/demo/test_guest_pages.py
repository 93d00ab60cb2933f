"""Tests of the demo's guests: what a list leads to is on the topic and names the list; failed requests do no harm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from actors.recommend.schema import Answer, Query
from deploy.demo.asker import Asker
from deploy.demo.guest_pages import GUESTS, GuestPages
from streaming.clock import ManualClock
from streaming.log.codec import Decoder
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import VIEWER_EVENTS
from tests.unit.actors.replica import Replica


@dataclass
class FakeAsker:
    """Answers as a replica with two rooms does; every third request fails."""

    replica: Replica = field(default_factory=Replica)
    answers: dict[str, str] = field(default_factory=dict)  # viewers by request_id
    asked: int = 0

    def ask(self, viewer: str, limit: int) -> Answer | None:
        self.asked += 1
        if self.asked % 3 == 0:
            return None
        answer = self.replica.recommender.recommend(Query(viewer=viewer, limit=limit))
        self.answers[answer.request_id] = viewer
        return answer


def test_what_a_list_leads_to_is_on_the_topic_and_names_the_list() -> None:
    clock, asker = ManualClock(), FakeAsker()
    for room in "abc":
        asker.replica.room(room)
    log = MemoryLog(clock, {VIEWER_EVENTS: 1})
    pages = GuestPages(cast(Asker, asker), log.sink(), clock, 3)
    for _ in range(600):
        pages.turn()
        clock.advance(200)
    decode = Decoder(VIEWER_EVENTS)
    records = log.read(Partition(VIEWER_EVENTS, 0), 0, 100_000)
    events = [decode(record.value or b"") for record in records]
    enters = [event for event in events if event.action == "enter"]
    assert len(enters) > GUESTS / 2
    assert all(asker.answers[event.request_id] == event.viewer for event in enters)
    assert {event.position for event in enters} <= {1, 2, 3}
    assert all(record.key == event.viewer.encode() for record, event in zip(records, events, strict=True))
    assert asker.asked > len(asker.answers) > 0
