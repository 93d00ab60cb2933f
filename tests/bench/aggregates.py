"""Measures CPU microseconds per record of the folds, alone: no decoding, no broker. Never asserts."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable

import msgspec

from streaming.events import Action, ChatMessage, Outcome, RoomActivity, RoomId, RoomStarted, ViewerEvent, ViewerId
from streaming.room.activity import ActivityBook
from streaming.room.room import RoomAggregate
from streaming.room.window import ChatLine
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig

START_MS = 1_700_000_000_000
WORDS = (
    "the",
    "boss",
    "is",
    "almost",
    "dead",
    "what",
    "a",
    "play",
    "gg",
    "LUL",
    "KEKW",
    "insane",
    "run",
    "today",
    "chat",
)


def best_us(run: Callable[[], int], repeats: int) -> float:
    """Microseconds per record of the fastest of some runs; `run` returns how many records it folded."""
    best = float("inf")
    for _ in range(repeats):
        started = time.thread_time()
        count = run()
        best = min(best, (time.thread_time() - started) / count * 1e6)
    return round(best, 3)


def chat(num: int, num_rooms: int, rate_per_s: int) -> list[ChatMessage]:
    """Chat of all rooms together at a rate."""
    drawn = random.Random(1)
    return [
        ChatMessage(
            room=f"room-{drawn.randrange(num_rooms)}",
            viewer=f"viewer-{drawn.randrange(20 * num_rooms)}",
            text=" ".join(drawn.choices(WORDS, k=drawn.choice([1, 1, 2, 5, 9]))),
            at_ms=START_MS + i * 1_000 // rate_per_s - drawn.choice([0, 0, 0, 50, 900]),
        )
        for i in range(num)
    ]


def aggregate_chat(messages: list[ChatMessage], batch: int = 5_000) -> dict[str, RoomAggregate]:
    """Aggregates as a worker does: a batch at a time, and of that a room at a time."""
    aggregates: dict[str, RoomAggregate] = {}
    counts = [0] * len(Outcome)
    for start in range(0, len(messages), batch):
        lines: dict[str, list[ChatLine]] = {}
        for offset, message in enumerate(messages[start : start + batch], start):
            line = (message.viewer, message.text, message.at_ms, offset, message.at_ms)
            lines.setdefault(message.room, []).append(line)
        for room, said in lines.items():
            aggregate = aggregates.get(room)
            if aggregate is None:
                aggregate = aggregates[room] = RoomAggregate(RoomId(room), WindowConfig())
                started = RoomStarted(room=room, streamer="s", at_ms=START_MS, title="a title of a room")
                aggregate.apply_lifecycle(started, 0, START_MS)
            aggregate.apply_chats(said, counts)
    return aggregates


def aggregate_events(events: list[ViewerEvent]) -> int:
    aggregates: dict[str, ProfileAggregate] = {}
    book = ActivityBook()
    for event in events:
        aggregate = aggregates.get(event.viewer)
        if aggregate is None:
            aggregate = aggregates[event.viewer] = ProfileAggregate(ViewerId(event.viewer), ProfileConfig())
        aggregate.apply(event, event.at_ms, book)
    return len(events)


def viewer_events(num: int) -> list[ViewerEvent]:
    """Viewers who enter, watch with reports every 30 s, chat now and then, and mostly leave; interleaved by time."""
    drawn = random.Random(2)
    events: list[ViewerEvent] = []
    rooms = [f"room-{room}" for room in range(200)]
    actions: tuple[Action, ...] = ("watch", "watch", "watch", "chat", "chat", "like")
    while len(events) < num:
        viewer, room = f"viewer-{drawn.randrange(max(1, num // 40))}", drawn.choice(rooms)
        at_ms = START_MS + drawn.randrange(3_600_000)
        visit: list[Action] = ["enter", *drawn.choices(actions, k=drawn.randrange(12)), "leave"]
        for action in visit:
            at_ms += 15_000
            events.append(
                ViewerEvent(viewer=viewer, room=room, streamer=f"of {room}", action=action, at_ms=at_ms, seconds=30)
            )
    return sorted(events, key=lambda event: event.at_ms)[:num]


def measure(num: int, repeats: int) -> dict[str, float]:
    """All figures."""
    spread = chat(num, num_rooms=500, rate_per_s=2_000)
    busy = chat(num, num_rooms=1, rate_per_s=500)
    aggregate = aggregate_chat(busy)["room-0"]
    activity = [RoomActivity(room=RoomId("r"), bucket_ms=START_MS + i % 60 * 10_000, entered=1) for i in range(num)]
    aggregates = list(aggregate_chat(spread).values())

    def aggregate_activity() -> int:
        target = RoomAggregate(RoomId("r"), WindowConfig())
        for offset, one in enumerate(activity):
            target.apply_activity(one, offset, START_MS + offset)
        return len(activity)

    def texts() -> int:
        for target in aggregates:
            target._chat._text = None
            target.chat_text()
        return len(aggregates)

    def states() -> int:
        return sum(target.state(START_MS) is not None for target in aggregates)

    def busy_text() -> int:
        aggregate._chat._text = None
        return int(aggregate.chat_text() is not None)

    events = viewer_events(num)
    raw = [msgspec.json.encode(message) for message in spread]
    decoder = msgspec.json.Decoder(ChatMessage)
    return {
        "decode_chat_us": best_us(lambda: len([decoder.decode(value) for value in raw]), repeats),
        "chat_us": best_us(lambda: len(aggregate_chat(spread)) * 0 + len(spread), repeats),
        "chat_one_busy_room_us": best_us(lambda: len(aggregate_chat(busy)) * 0 + len(busy), repeats),
        "activity_us": best_us(aggregate_activity, repeats),
        "viewer_event_us": best_us(lambda: aggregate_events(events), repeats),
        "state_us": best_us(states, repeats),
        "text_us": best_us(texts, repeats),
        "text_busy_room_us": best_us(busy_text, repeats),
        "retained_offset_us": best_us(lambda: len([f.retained_offset(START_MS) for f in aggregates]), repeats),
        "close_idle_us": best_us(lambda: len([f.close_idle(START_MS) for f in aggregates]), repeats),  # type: ignore[func-returns-value]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    figures = measure(args.records, args.repeats)
    for name, value in figures.items():
        print(f"{name:24} {value:10.3f}")
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
