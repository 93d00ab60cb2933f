"""The heart of "nothing lost, nothing twice": however a worker dies, its rooms end where they would have ended.

A log of three topics and two schedules over it are drawn. One run is undisturbed. The other is killed wherever its
schedule says, starts again from the states it published and the positions it held back, and polls, encodes and
publishes in another order altogether. Every field of every final state must agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.events import (
    Arrival,
    ChatMessage,
    Outcome,
    RoomActivity,
    RoomEnded,
    RoomId,
    RoomStarted,
    RoomState,
    RoomUpdated,
    Speech,
    StreamerId,
)
from streaming.room.reading import RoomText
from streaming.room.room import RoomAggregate
from streaming.room.vectors import to_bytes
from streaming.room.window import ChatLine
from streaming.room.window_config import WindowConfig

TOPICS = ("rooms", "chat", "activity")
EPOCH_MS = 1_700_000_010_000  # a segment begins here
CONFIG = WindowConfig(texts_per_slice=2, viewers_per_slice=2, recognised_per_slice=4, text_chars=40, mean_every=2)
TEXTS = ("LUL", "LUL LUL", "", "\x00", "gg wp", "the boss is dead", "¿qué es esto?", "a b c", "d e f")
Event = RoomStarted | RoomUpdated | RoomEnded | ChatMessage | Speech | RoomActivity


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

    num_encoded: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Also what follows a kill: memory is gone, the log is not."""
        self.aggregates: dict[RoomId, RoomAggregate] = {}
        self.flying: list[tuple[RoomId, str, RoomText | int, str]] = []
        self.positions = dict(self.committed)
        self.head_ms = 0
        for room, state in self.states.items():
            self.aggregates[room] = RoomAggregate(room, CONFIG)
            self.aggregates[room].restore(msgspec.msgpack.decode(state, type=RoomState))

    def poll(self, topic: str, count: int) -> None:
        start = self.positions[topic]
        chat: dict[RoomId, list[ChatLine]] = {}
        for offset, entry in enumerate(self.log[topic][start : start + count], start):
            event, room = entry.event, RoomId(entry.event.room)
            aggregate = self.aggregates.setdefault(room, RoomAggregate(room, CONFIG))
            if isinstance(event, ChatMessage | Speech):
                chat.setdefault(room, []).append((event.viewer, event.text, event.at_ms, offset, entry.appended_ms))
                self.head_ms = max(self.head_ms, entry.appended_ms)
            elif isinstance(event, RoomActivity):
                aggregate.apply_activity(event, offset, entry.appended_ms)
            else:
                aggregate.apply_lifecycle(event, offset, entry.appended_ms)
            self.positions[topic] = offset + 1
        for room, lines in chat.items():
            self.aggregates[room].apply_chats(lines, [0] * len(Outcome))

    def sweep(self) -> None:
        for aggregate in self.aggregates.values():
            aggregate.close_idle(self.head_ms)

    def submit(self) -> None:
        for room, aggregate in self.aggregates.items():
            if not aggregate.started:
                continue
            for kind, text in (("title", aggregate.title_text()), ("chat", aggregate.chat_text())):
                if text is not None:
                    self.flying.append((room, kind, text, text.text))
            self.flying += [(room, "segment", segment.index, segment.text) for segment in aggregate.closed_segments()]

    def receive(self, count: int) -> None:
        """Vectors come late and out of order: the newest first."""
        for _ in range(min(count, len(self.flying))):
            room, kind, text, words = self.flying.pop()
            aggregate = self.aggregates[room]
            self.num_encoded += 1
            if isinstance(text, int):
                aggregate.add_segment(text, encode(words), "fake")
            elif kind == "title":
                aggregate.set_title_vector(text, encode(words), "fake")
            else:
                aggregate.set_chat_vector(text, encode(words), "fake")

    def publish(self, chosen: int) -> None:
        """States of some of the rooms and the positions, in one transaction."""
        for number, (room, aggregate) in enumerate(self.aggregates.items()):
            state = aggregate.state(now_ms=1)
            if aggregate.dirty and state is not None and chosen >> number & 1:
                self.states[room] = msgspec.msgpack.encode(state)
                aggregate.mark_published()
        self.committed = dict(self.positions)
        for aggregate in self.aggregates.values():
            held = (
                aggregate.unpublished_rooms_offset,
                aggregate.retained_offset(self.head_ms),
                aggregate.unpublished_activity_offset,
            )
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

    def finish(self) -> None:
        """Reads to the end, encodes until nothing is left, publishes."""
        for topic in TOPICS:
            self.poll(topic, len(self.log[topic]))
        self.sweep()
        for _ in range(3):
            self.submit()
            self.receive(len(self.flying))
        for aggregate in self.aggregates.values():
            assert not aggregate.started or not (
                aggregate.closed_segments() or aggregate.chat_text() or aggregate.title_text()
            )
        self.publish(chosen=-1)

    def published(self) -> dict[RoomId, RoomState]:
        """The states as they lie on the log."""
        return {room: msgspec.msgpack.decode(state, type=RoomState) for room, state in self.states.items()}


def draw_log(random: Random, num_records: int) -> dict[str, list[Entry]]:
    """Append times rise; event times mostly keep up with them, and are late, early, far past or the same again."""
    log: dict[str, list[Entry]] = {topic: [] for topic in TOPICS}
    now_ms = EPOCH_MS
    gaps_ms = random.choice([[0, 1, 300, 700, 1_500, 3_000], [0, 1, 700, 3_000, 11_000, 29_000, 61_000, 95_000]])
    drifts_ms = [0] * 6 + [-1_000, -7_000, -31_000, -50_000, -70_000, -10_000_000, 4_000, 40_000, 59_000]
    for _ in range(num_records):
        topic = random.choice(("chat",) * 8 + TOPICS)
        now_ms += random.choice(gaps_ms)
        entry = Entry(draw_event(random, topic, now_ms + random.choice(drifts_ms)), now_ms)
        log[topic] += [entry] * random.choice([1, 1, 1, 1, 1, 2])
    return log


def draw_event(random: Random, topic: str, at_ms: int) -> Event:
    room = random.choice("aab")
    if topic == "chat":
        at_ms -= at_ms % random.choice([1, 5_000])  # coarse times make duplicates
        if random.random() < 0.2:
            return Speech(room=room, text=random.choice(TEXTS), at_ms=at_ms)
        return ChatMessage(room=room, viewer=random.choice("uvwxyz"), text=random.choice(TEXTS), at_ms=at_ms)
    if topic == "activity":
        bucket_ms = at_ms - at_ms % 10_000
        came = sorted(Arrival(at_ms, StreamerId(random.choice("pq"))) for _ in range(random.choice([0, 0, 1, 20])))
        entered = random.randint(0, 2) + len(came)
        first = random.randint(0, entered)
        return RoomActivity(
            room=RoomId(room), bucket_ms=bucket_ms, entered=entered, left=1, first_entered=first, arrivals=tuple(came)
        )
    if random.random() < 0.2:
        return RoomEnded(room=room, at_ms=at_ms)
    title, language = random.choice(["", "one", "the two of them"]), random.choice(["", "de"])
    if random.random() < 0.5:
        return RoomStarted(room=room, streamer="s", at_ms=at_ms, title=title, language=language)
    return RoomUpdated(room=room, streamer="s", at_ms=at_ms, title=title, language=language)


def draw_schedule(random: Random, num_steps: int, *more: str) -> list[tuple[str, int]]:
    """Steps of a worker: what, and how much."""
    names = (*TOPICS, "chat", "chat", "sweep", "submit", "receive", "publish", "publish", *more)
    return [(random.choice(names), random.randint(0, 6)) for _ in range(num_steps)]


def run(log: dict[str, list[Entry]], schedule: Sequence[tuple[str, int]]) -> Worker:
    worker = Worker(log)
    for step in schedule:
        worker.do(step)
    worker.finish()
    return worker


SEEDS = st.integers(0, 2**32)
SIZES = st.sampled_from([3, 6, 12, 25, 50, 100, 200])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=SEEDS, num_records=SIZES, num_steps=SIZES)
def test_rooms_of_a_killed_worker_end_as_those_of_an_undisturbed_one(
    seed: int, num_records: int, num_steps: int
) -> None:
    random = Random(seed)
    log = draw_log(random, num_records)
    undisturbed = run(log, draw_schedule(random, num_steps))
    killed = run(log, draw_schedule(random, num_steps, "kill"))
    assert killed.published() == undisturbed.published()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS, num_records=SIZES)
def test_a_worker_that_starts_again_at_the_end_changes_and_encodes_nothing(seed: int, num_records: int) -> None:
    random = Random(seed)
    worker = run(draw_log(random, num_records), draw_schedule(random, num_records))
    before, num_encoded = worker.published(), worker.num_encoded
    worker.start()
    worker.finish()
    assert worker.published() == before
    assert worker.num_encoded == num_encoded


def test_who_wrote_in_a_slice_that_left_the_window_unpublished_is_known_after_a_restart() -> None:
    """Else a fifth chatter of a slice that has counted its four counts as well."""

    def said(viewer: str, text: str, at_ms: int, appended_ms: int) -> Entry:
        message = ChatMessage(room="a", viewer=viewer, text=text, at_ms=EPOCH_MS + at_ms)
        return Entry(message, EPOCH_MS + appended_ms)

    chat = [
        said("z", "d e f", 3_701, 3_701), said("w", "a b c", 0, 3_702), said("y", "d e f", 0, 3_702),
        said("v", "LUL LUL", 4_003, 4_003), said("z", "", 55_000, 58_207), said("u", "a b c", 0, 71_108),
        said("y", "d e f", 94_211, 94_211),
    ]  # fmt: skip
    started = Entry(RoomStarted(room="a", streamer="s", at_ms=EPOCH_MS, title="one"), EPOCH_MS)
    log: dict[str, list[Entry]] = {"rooms": [started], "chat": chat, "activity": []}
    before = [("rooms", 1), ("chat", 5), ("submit", 0), ("receive", 4), ("publish", -1), ("chat", 2)]
    killed = run(log, [*before, ("publish", 0), ("kill", 0)])
    assert killed.published() == run(log, []).published()
    assert killed.published()[RoomId("a")].recent_heard[0] == 4
