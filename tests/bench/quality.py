"""Tests of how good version 0 is on the simulator's truth, beside the oracle and popularity. Never starts a broker.

Rooms and viewers run through the same folds as in the workers. At one moment viewers are asked for; held out are the
rooms that each enters in the ten minutes after it, of those live at the moment. The oracle ranks by the probabilities
from which the simulator draws. BaselineWeights were chosen on seed 1; figures are reported on seed 2.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import Tables
from streaming.clock import ManualClock
from streaming.events import ChatMessage, RoomId, RoomState, Speech, ViewerEvent, ViewerId
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.room.activity import ActivityBook
from streaming.room.room import RoomAggregate
from streaming.room.window_config import WindowConfig
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from training.content.text_encoder import TextEncoder
from training.settings import BaselineWeights, EncoderConfig

START_MS = 1_700_000_000_000
VISIT_S = 60.0  # short, so that an hour leaves a viewer more than a dozen visits of history
HELD_OUT_MS = 600_000
TOP = 20
ENCODE = 64  # texts a batch


@dataclass
class History:
    """Everybody's folds up to the moment, and who entered what after it."""

    rooms: dict[str, RoomAggregate] = field(default_factory=dict)
    viewers: dict[str, ProfileAggregate] = field(default_factory=dict)
    next_rooms: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    offset: int = 0


def play(platform: Platform, minutes: int) -> tuple[History, int]:
    """Runs the platform through the folds for some minutes and notes what is held out."""
    history, book = History(), ActivityBook()
    moment_ms = START_MS + minutes * 60_000
    for tick in platform.ticks(START_MS, moment_ms + HELD_OUT_MS):
        for line in tick:
            event = line.record
            history.offset += 1
            if event.at_ms >= moment_ms:
                if isinstance(event, ViewerEvent) and event.action == "enter":
                    history.next_rooms[event.viewer].add(event.room)
            elif isinstance(event, ViewerEvent):
                aggregate = history.viewers.setdefault(
                    event.viewer, ProfileAggregate(ViewerId(event.viewer), ProfileConfig())
                )
                aggregate.apply(event, event.at_ms, book)
            elif isinstance(event, ChatMessage | Speech):
                _room(history, event.room).apply_chat(event, history.offset, event.at_ms)
            else:
                _room(history, event.room).apply_lifecycle(event, history.offset, event.at_ms)
        for activity in book.drain():
            history.offset += 1
            _room(history, activity.room).apply_activity(activity, history.offset, activity.bucket_ms)
    return history, moment_ms


def _room(history: History, room: str) -> RoomAggregate:
    return history.rooms.setdefault(room, RoomAggregate(RoomId(room), WindowConfig()))


def encode_rooms(history: History, encoder: TextEncoder) -> None:
    """Gives every room the vectors that a RoomWorker would have given it by the moment."""
    titles = [(aggregate, text) for aggregate in history.rooms.values() if (text := aggregate.title_text())]
    chats = [
        (aggregate, text)
        for aggregate in history.rooms.values()
        if aggregate.started and (text := aggregate.chat_text())
    ]
    for pairs, is_title in ((titles, True), (chats, False)):
        for start in range(0, len(pairs), ENCODE):
            some = pairs[start : start + ENCODE]
            for (aggregate, text), vector_D in zip(some, encoder.encode([text.text for _, text in some]), strict=True):
                give = aggregate.set_title_vector if is_title else aggregate.set_chat_vector
                give(text, np.asarray(vector_D, "<f2").tobytes(), encoder.version)


def replica_of(history: History, now_ms: int, weights: BaselineWeights) -> Recommender:
    """A replica that has read everything."""
    clock, metrics = ManualClock(now_ms), MemoryMetrics()
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), metrics, clock)
    states = [state for aggregate in history.rooms.values() if (state := aggregate.state(now_ms))]
    tables.apply(_batch(ROOM_STATES, [(state.room, encode(state)) for state in states]))
    tables.apply(
        _batch(VIEWER_PROFILES, [(v, encode(aggregate.profile())) for v, aggregate in history.viewers.items()])
    )
    return Recommender(tables, RecommendConfig(weights=weights), metrics, clock)


def _batch(topic: str, pairs: list[tuple[str, bytes]]) -> Batch:
    lines = [MemoryRecord(topic, 0, i, 0, key.encode(), value) for i, (key, value) in enumerate(pairs)]
    return Batch(records={Partition(topic, 0): lines})


def evaluate(history: History, platform: Platform, at_ms: int, recommender: Recommender, viewers: int) -> Figures:
    """Precision and recall of each ranking for a sample of the viewers who went somewhere."""
    moment = platform.truth.at(at_ms)
    live = set(moment.rooms)
    states: dict[str, RoomState] = {r: s for r in moment.rooms if (s := history.rooms[r].state(at_ms))}
    popular = sorted(moment.rooms, key=lambda room: states[room].left - states[room].entered)
    wanted = [viewer for viewer in history.next_rooms if viewer in history.viewers]
    np.random.default_rng(0).shuffle(wanted)
    rows = []
    for viewer in wanted[:viewers]:
        here = history.viewers[viewer].profile().room
        targets = (history.next_rooms[viewer] & live) - {here}
        if not targets:
            continue
        index = platform.truth.viewer_index(ViewerId(viewer))
        affinity_R = moment.affinity(index)
        oracle = [moment.rooms[i] for i in np.argsort(-affinity_R)]
        liked = {room for room, is_liked in zip(moment.rooms, moment.liked(index), strict=True) if is_liked}
        v0 = [item.room for item in recommender.recommend(Query(viewer=viewer, limit=TOP)).rooms]
        row = []
        for ranking in (oracle, v0, popular):
            top = [room for room in ranking if room != here][:TOP]
            row += [len(targets & set(top)) / len(targets), len(liked & set(top)) / min(TOP, len(liked - {here}) or 1)]
        rows.append(row)
    return Figures(np.array(rows))


@dataclass(frozen=True)
class Figures:
    """Per viewer: recall and precision of oracle, v0 and popularity. rows_V6: float64 [V, 6]."""

    rows_V6: NDArray[np.float64]

    def summary(self) -> dict[str, float]:
        rows_V6 = self.rows_V6
        rng = np.random.default_rng(0)
        drawn = [rows_V6[rng.integers(0, len(rows_V6), len(rows_V6))].mean(axis=0) for _ in range(500)]
        ratios = [mean_6[2] / mean_6[0] for mean_6 in drawn]
        mean_6 = rows_V6.mean(axis=0)
        names = (
            "oracle_recall",
            "oracle_precision",
            "v0_recall",
            "v0_precision",
            "popular_recall",
            "popular_precision",
        )
        return {
            "viewers": len(rows_V6),
            **{name: round(float(value), 4) for name, value in zip(names, mean_6, strict=True)},
            "ratio": round(float(mean_6[2] / mean_6[0]), 4),
            "ratio_low": round(float(np.percentile(ratios, 2.5)), 4),
            "ratio_high": round(float(np.percentile(ratios, 97.5)), 4),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--rooms", type=int, default=1_500)
    parser.add_argument("--people", type=int, default=12_000)
    parser.add_argument("--minutes", type=int, default=60, help="of history before the moment")
    parser.add_argument("--viewers", type=int, default=1_000, help="how many are asked for")
    parser.add_argument("--no-content", action="store_true", help="leave the encoder out: what content is worth")
    parser.add_argument("--weights", default="{}", help='JSON, for example {"category": 2}')
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    config = SimulationConfig(
        seed=args.seed,
        rooms=args.rooms,
        viewers=args.people,
        chat_per_room_s=0.05,
        talking_share=0.0,  # what speech adds is measured by tests/bench/speech.py
        visit_s=VISIT_S,
    )
    platform = Platform(config)
    history, at_ms = play(platform, args.minutes)
    if not args.no_content:
        encode_rooms(history, TextEncoder(EncoderConfig()))
    variants = json.loads(args.weights)
    for variant in variants if isinstance(variants, list) else [variants]:
        recommender = replica_of(history, at_ms, BaselineWeights(**variant))
        figures = evaluate(history, platform, at_ms, recommender, args.viewers).summary()
        if args.json:
            print(json.dumps(figures))
        else:
            print(variant, *(f"{name:18} {value}" for name, value in figures.items()), sep="\n")


if __name__ == "__main__":
    main()
