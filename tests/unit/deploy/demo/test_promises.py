"""Tests of deploy.demo.promises and deploy.demo.platform_view: what breaks a promise, and what does not."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from actors.recommend.schema import Answer, Item, Receipt
from deploy.demo.platform_view import PlatformView
from deploy.demo.promises import ENDED_GRACE_MS, STALE_LOOKS_LIMIT, UNREAD_GRACE_MS, Promises
from deploy.http.prometheus_text import Exposition, parse
from deploy.http.status import Post, SystemStatus
from streaming.clock import ManualClock
from streaming.events import ProducerRecord, RoomEnded, RoomStarted, ViewerEvent
from streaming.log.codec import encode
from streaming.log.memory_log import MemoryLog

NOW_MS = 1_700_000_000_000
EMPTY = Exposition()
RECEIPT = Receipt(segment_end_ms=NOW_MS, servable_ms=NOW_MS, age_ms=40, encoder_version="e", model_version="v0")


def item(room: str, receipt: Receipt = RECEIPT, reason: str = "trending") -> Item:
    return Item(
        room=room,
        streamer="s",
        title="t",
        category="c",
        language="en",
        tags=(),
        mature=False,
        started_at_ms=NOW_MS,
        audience=1,
        chat_per_minute=1,
        receipt=receipt,
        score=1.0,
        source="trending",
        reason=reason,
    )


def answer(*items: Item) -> Answer:
    return Answer(
        request_id="r",
        viewer="v",
        known=True,
        model_version="v0",
        generated_at_ms=NOW_MS,
        live_rooms=1,
        rooms=list(items),
    )


def metrics(fast: int = 100, slow: int = 0, stale: int = 0, worked_s: float = 0, dead: int = 0) -> Exposition:
    """`fast` messages within 0.5 s and `slow` between 1 s and 2 s."""
    bucket, all_ = 'tidecast_freshness_seconds_bucket{stage="total",le=', fast + slow
    return parse(
        f'{bucket}"0.5"}} {fast}\n{bucket}"1.0"}} {fast}\n{bucket}"2.0"}} {all_}\n{bucket}"+Inf"}} {all_}\n'
        f"tidecast_rooms_stale {stale}\ntidecast_encode_seconds_sum {worked_s}\n"
        f"tidecast_dead_rooms_returned_total {dead}\n"
    )


@pytest.fixture
def promises() -> Promises:
    return Promises({"gone": NOW_MS}.get)


def test_good_run_breaks_nothing(promises: Promises) -> None:
    promises.check_answer(answer(item("live"), item("gone")), NOW_MS + ENDED_GRACE_MS)
    promises.check_metrics(metrics(), 0.0)
    verdict = promises.verdict(metrics(), EMPTY)
    assert verdict.broken == ()
    assert (verdict.answers, verdict.items) == (1, 2)
    assert verdict.freshness_p50_s == pytest.approx(0.25)


def test_room_that_ended_long_ago_breaks_a_promise(promises: Promises) -> None:
    promises.check_answer(answer(item("gone")), NOW_MS + ENDED_GRACE_MS + 1)
    assert "an ended room was in an answer: 1 times, first gone" in promises.verdict(metrics(), EMPTY).broken[0]


def test_room_that_has_just_started_may_wait_for_its_vector(promises: Promises) -> None:
    unread = msgspec.structs.replace(RECEIPT, encoder_version="")
    promises.check_answer(answer(item("new", unread)), NOW_MS)
    assert promises.verdict(metrics(), EMPTY).broken == ()
    late = msgspec.structs.replace(answer(item("new", unread)), generated_at_ms=NOW_MS + UNREAD_GRACE_MS)
    promises.check_answer(late, NOW_MS)
    assert "no complete receipt" in promises.verdict(metrics(), EMPTY).broken[0]


@pytest.mark.parametrize("change", [{"servable_ms": 0}, {"model_version": ""}])
def test_incomplete_receipt_breaks_a_promise(promises: Promises, change: dict[str, object]) -> None:
    promises.check_answer(answer(item("live", msgspec.structs.replace(RECEIPT, **change))), NOW_MS)
    assert "no complete receipt" in promises.verdict(metrics(), EMPTY).broken[0]


def test_failed_request_and_empty_answers_break_promises(promises: Promises) -> None:
    promises.check_error("POST /v1/recommend: 503")
    promises.check_answer(answer(), NOW_MS)
    broken = promises.verdict(metrics(), EMPTY).broken
    assert broken == (
        "a request failed: 1 times, first POST /v1/recommend: 503",
        "no room was recommended in 1 answers",
    )


def test_slow_half_of_the_chat_is_a_slow_machine(promises: Promises) -> None:
    promises.check_answer(answer(item("live")), NOW_MS)
    assert promises.verdict(metrics(fast=51, slow=49), EMPTY).slow == ()
    slow = promises.verdict(metrics(fast=40, slow=60), EMPTY)
    assert "took longer than" in slow.slow[0]
    assert slow.broken == (), "no answer was wrong"
    assert promises.verdict(metrics(), metrics()).broken == ("no chat message became servable",)


def test_rooms_that_wait_while_the_encoder_has_capacity_are_a_slow_machine(promises: Promises) -> None:
    promises.check_answer(answer(item("live")), NOW_MS)
    for look in range(10):
        promises.check_metrics(metrics(stale=3, worked_s=0.9 * look), float(look))
    for look in range(STALE_LOOKS_LIMIT):  # the first still saw it work
        promises.check_metrics(metrics(stale=3, worked_s=9.0), 10.0 + look)
    assert promises.verdict(metrics(), EMPTY).slow == ()
    promises.check_metrics(metrics(stale=3, worked_s=9.1), 20.0)
    assert "rooms waited" in promises.verdict(metrics(), EMPTY).slow[0]
    assert promises.verdict(metrics(), EMPTY).broken == ()


def test_process_that_was_replaced_breaks_a_promise(promises: Promises) -> None:
    promises.check_answer(answer(item("live")), NOW_MS)
    for pids in ((7, 8), (7, 8), (7,), (7, 9), (7, 9)):  # the second is away for a look, then another is in its place
        posts = [
            Post(name="room-worker", rank=rank, pid=pid, node="n", at_ms=NOW_MS, detail={})
            for rank, pid in enumerate(pids)
        ]
        promises.check_processes(SystemStatus(at_ms=NOW_MS, processes=posts))
        expected = 1 if 9 in pids else 0
        assert len(promises.verdict(metrics(), EMPTY).broken) == expected
    assert promises.verdict(metrics(), EMPTY).broken[0].endswith("took its place: 1 times, first room-worker 1, pid 8")


def test_process_that_somebody_kills_on_purpose_breaks_none(promises: Promises) -> None:
    promises.check_answer(answer(item("live")), NOW_MS)
    promises.forgive(7)
    for pid in (7, 9, 11):
        post = Post(name="encoder", rank=0, pid=pid, node="n", at_ms=NOW_MS, detail={})
        promises.check_processes(SystemStatus(at_ms=NOW_MS, processes=[post]))
        assert bool(promises.verdict(metrics(), EMPTY).broken) == (pid == 11), "the one after it was not forgiven"


def test_counter_of_dead_rooms_breaks_a_promise(promises: Promises) -> None:
    promises.check_answer(answer(item("live")), NOW_MS)
    assert promises.verdict(metrics(dead=2), EMPTY).broken == ("dead_rooms_returned_total is 2; it must stay 0",)


@dataclass(frozen=True)
class Line:
    """A record as it lies on the log."""

    topic: str
    value: bytes | None
    timestamp: int = NOW_MS
    partition: int = 0
    offset: int = 0
    key: bytes | None = b"k"


def line(topic: str, record: ProducerRecord, timestamp: int = NOW_MS) -> Line:
    return Line(topic, encode(record), timestamp)


def test_view_knows_who_ended_and_who_is_active() -> None:
    view = PlatformView(MemoryLog(ManualClock(), {"rooms": 1, "viewer-events": 1}))
    view.apply(
        [
            line("rooms", RoomStarted(room="a", streamer="s", at_ms=1)),
            line("rooms", RoomStarted(room="b", streamer="s", at_ms=1)),
            line("rooms", RoomEnded(room="a", at_ms=2), NOW_MS + 5),
            Line("rooms", b"not a record"),
            Line("rooms", None),
            *(
                line("viewer-events", ViewerEvent(viewer=who, room="b", streamer="s", action="enter", at_ms=1))
                for who in ("ann", "ben", "ben")
            ),
        ]
    )
    assert view.ended_at_ms("a") == NOW_MS + 5
    assert view.ended_at_ms("b") is None
    assert (view.live(), view.ended()) == (1, 1)
    assert view.active(1) == ["ben"]
    view.apply([line("rooms", RoomStarted(room="a", streamer="s", at_ms=3))])
    assert view.ended_at_ms("a") is None
