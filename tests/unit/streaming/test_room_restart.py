"""Owns the heart of the promise "nothing lost, nothing twice": however a worker dies, its rooms end where they would have.

Hypothesis writes a log of three topics and two schedules over it. One run is undisturbed. The other is killed wherever the
schedule says, starts again from the states it published and the positions it held back, and polls, encodes and publishes
in another order altogether. Every field of every final state must agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.chat import RoomText
from streaming.events import ChatMessage, RoomActivity, RoomEnded, RoomId, RoomStarted, RoomState, RoomUpdated
from streaming.room import RoomFold
from streaming.vectors import to_bytes
from streaming.window import WindowConfig

TOPICS = ("rooms", "chat", "activity")
EPOCH_MS = 1_700_000_010_000  # a segment begins here
CONFIG = WindowConfig(texts_per_slice=2, viewers_per_slice=2, recognised_per_slice=4, text_chars=40)
Event = RoomStarted | RoomUpdated | RoomEnded | ChatMessage | RoomActivity


@dataclass(frozen=True)
class Entry:
    """One record of the log."""

    event: Event
    appended_ms: int


def encode(text: str) -> bytes:
    """A fake encoder: the same text, the same vector."""
    return to_bytes(np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], dtype=np.uint8).astype(np.float32) / 255)


@dataclass
class Worker:
    """What a RoomWorker does with its folds. `states` and `positions` are what is on the log."""

    log: dict[str, list[Entry]]
    states: dict[RoomId, bytes] = field(default_factory=dict)
    committed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOPICS, 0))

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Also what follows a kill: memory is gone, the log is not."""
        self.folds: dict[RoomId, RoomFold] = {}
        self.flying: list[tuple[RoomId, str, RoomText | int, str]] = []
        self.positions = dict(self.committed)
        self.head_ms = 0
        for room, state in self.states.items():
            self.folds[room] = RoomFold(room, CONFIG)
            self.folds[room].restore(msgspec.msgpack.decode(state, type=RoomState))

    def poll(self, topic: str, count: int) -> None:
        start = self.positions[topic]
        for offset, entry in enumerate(self.log[topic][start : start + count], start):
            room = RoomId(entry.event.room)
            fold = self.folds.setdefault(room, RoomFold(room, CONFIG))
            if isinstance(entry.event, ChatMessage):
                fold.apply_chat(entry.event, offset, entry.appended_ms)
                self.head_ms = max(self.head_ms, entry.appended_ms)
            elif isinstance(entry.event, RoomActivity):
                fold.apply_activity(entry.event, offset, entry.appended_ms)
            else:
                fold.apply_lifecycle(entry.event, offset, entry.appended_ms)
            self.positions[topic] = offset + 1

    def sweep(self) -> None:
        for fold in self.folds.values():
            fold.close_idle(self.head_ms)

    def submit(self) -> None:
        for room, fold in self.folds.items():
            for kind, text in (("title", fold.title_text()), ("chat", fold.chat_text())):
                if text is not None:
                    self.flying.append((room, kind, text, text.text))
            self.flying += [(room, "segment", segment.index, segment.text) for segment in fold.closed_segments()]

    def receive(self, count: int) -> None:
        """Vectors come late and out of order: the newest first."""
        for _ in range(min(count, len(self.flying))):
            room, kind, text, words = self.flying.pop()
            fold = self.folds[room]
            if isinstance(text, int):
                fold.fold_segment(text, encode(words), "fake")
            elif kind == "title":
                fold.set_title_vector(text, encode(words), "fake")
            else:
                fold.set_chat_vector(text, encode(words), "fake")

    def publish(self, chosen: int) -> None:
        """States of some of the rooms and the positions, in one transaction."""
        for number, (room, fold) in enumerate(self.folds.items()):
            state = fold.state(now_ms=1)
            if fold.dirty and state is not None and chosen >> number & 1:
                self.states[room] = msgspec.msgpack.encode(state)
                fold.mark_published()
        self.committed = dict(self.positions)
        for fold in self.folds.values():
            held = (fold.unpublished_rooms_offset, fold.retained_offset(self.head_ms), fold.unpublished_activity_offset)
            for topic, offset in zip(TOPICS, held, strict=True):
                if offset is not None:
                    self.committed[topic] = min(self.committed[topic], offset)

    def do(self, step: tuple[str, int]) -> None:
        name, amount = step
        if name in TOPICS:
            self.poll(name, amount)
        elif name == "receive":
            self.receive(amount)
        elif name == "publish":
            self.publish(amount)
        else:
            {"sweep": self.sweep, "submit": self.submit, "kill": self.start}[name]()

    def finish(self) -> dict[RoomId, RoomState]:
        """Reads to the end, encodes until nothing is left, publishes. The states as they lie on the log."""
        for topic in TOPICS:
            self.poll(topic, len(self.log[topic]))
        self.sweep()
        for _ in range(3):
            self.submit()
            self.receive(len(self.flying))
        assert not any(fold.closed_segments() or fold.chat_text() or fold.title_text() for fold in self.folds.values())
        self.publish(chosen=-1)
        return {room: msgspec.msgpack.decode(state, type=RoomState) for room, state in self.states.items()}


@st.composite
def logs(draw: st.DrawFn) -> dict[str, list[Entry]]:
    """Append times rise; event times mostly keep up with them, and are late, early, far past or the same again."""
    log: dict[str, list[Entry]] = {topic: [] for topic in TOPICS}
    now_ms = EPOCH_MS
    drift = st.sampled_from([0, 0, 0, -1_000, -7_000, -31_000, -70_000, -10_000_000, 4_000, 40_000])
    gaps = st.sampled_from([0, 1, 700, 3_000, 11_000, 29_000, 61_000, 95_000])
    for topic in draw(st.lists(st.sampled_from(("chat",) * 6 + TOPICS), max_size=40)):
        now_ms += draw(gaps)
        room = draw(st.sampled_from(("a", "a", "b")))
        at_ms = now_ms + draw(drift)
        event: Event
        if topic == "chat":
            event = ChatMessage(
                room=room,
                viewer=draw(st.sampled_from("uvwxyz")),
                text=draw(
                    st.sampled_from(["LUL", "LUL LUL", "", "\x00", "gg wp", "the boss is dead", "¿qué es esto?"])
                ),
                at_ms=at_ms - at_ms % draw(st.sampled_from([1, 5_000])),  # coarse times make duplicates
            )
        elif topic == "activity":
            event = RoomActivity(
                room=RoomId(room), bucket_ms=at_ms - at_ms % 10_000, entered=draw(st.integers(0, 2)), left=1
            )
        else:
            kind = draw(st.sampled_from([RoomStarted, RoomStarted, RoomUpdated, RoomEnded]))
            about = {"room": room, "at_ms": at_ms}
            if kind is not RoomEnded:
                title, language = draw(st.sampled_from(["", "one", "two"])), draw(st.sampled_from(["", "de"]))
                about |= {"streamer": "s", "title": title, "language": language}
            event = kind(**about)
        log[topic].append(Entry(event, now_ms))
        if draw(st.integers(0, 5)) == 0:
            log[topic].append(Entry(event, now_ms))
    return log


def schedules(*more: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    """Steps of a worker: (what, how much)."""
    names = (*TOPICS, "chat", "chat", "sweep", "submit", "receive", "publish", "publish", *more)
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 6)), max_size=60)


def run(log: dict[str, list[Entry]], schedule: Sequence[tuple[str, int]]) -> dict[RoomId, RoomState]:
    worker = Worker(log)
    for step in schedule:
        worker.do(step)
    return worker.finish()


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs(), undisturbed=schedules(), killed=schedules("kill", "kill"))
def test_rooms_of_a_killed_worker_end_as_those_of_an_undisturbed_one(
    log: dict[str, list[Entry]], undisturbed: list[tuple[str, int]], killed: list[tuple[str, int]]
) -> None:
    assert run(log, killed) == run(log, undisturbed)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs(), schedule=schedules("kill"))
def test_a_worker_that_starts_again_at_the_end_changes_nothing(
    log: dict[str, list[Entry]], schedule: list[tuple[str, int]]
) -> None:
    worker = Worker(log)
    for step in schedule:
        worker.do(step)
    before = worker.finish()
    worker.start()
    assert worker.finish() == before
