"""The cost of one answer in the replica, without HTTP: µs per recommend at N live rooms. Never starts a broker."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable

import msgspec
import numpy as np

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Filters, Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import Tables
from actors.versions.swap import Swapper
from streaming.clock import ManualClock, SystemClock
from streaming.events import (
    ActivityBucket,
    ModelVersion,
    RoomId,
    RoomState,
    StreamerHabit,
    StreamerId,
    ViewerId,
    ViewerProfile,
    Visit,
)
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import MODELS, ROOM_STATES, VIEWER_PROFILES
from streaming.prometheus import PrometheusMetrics
from training.registry.catalog import key_of

DIMENSION = 384
CATEGORIES = 200
LANGUAGES = ("en", "de", "es", "fr", "ja", "pt-BR")


class Platform:
    """Rooms, viewers and their states, drawn with a seed. Rooms of a category have like vectors."""

    def __init__(self, rooms: int, viewers: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._rooms, self._viewers = rooms, viewers
        self._centres_CD = self._rng.standard_normal((CATEGORIES, DIMENSION))
        self._version = 0

    def state(self, room: int, now_ms: int) -> RoomState:
        """A state of a room, newer than every one before."""
        rng, category = self._rng, room % CATEGORIES
        self._version += 1
        vectors_2D = self._centres_CD[category] + rng.standard_normal((2, DIMENSION))
        title, chat = (vectors_2D / np.linalg.norm(vectors_2D, axis=1, keepdims=True)).astype("<f2")
        bucket = now_ms // 10_000
        counts = rng.poisson((3, 1), (20, 2)).tolist()
        recent = tuple(ActivityBucket((bucket - age) * 10_000, *pair) for age, pair in enumerate(counts))
        return RoomState(
            room=RoomId(f"room-{room:06d}"), streamer=StreamerId(f"streamer-{room:06d}"), status="live",
            title=f"room {room}: climbing again, day {room % 40}", category=f"category {category}",
            language=LANGUAGES[room % len(LANGUAGES)], tags=("chill", "no spoilers"), mature=room % 50 == 0,
            started_at_ms=now_ms - int(rng.integers(0, 7_200_000)), described_at_ms=now_ms - 60_000,
            window_messages=int(rng.poisson(20)), previous_messages=20, entered=int(rng.zipf(1.6) % 9_999),
            recent=recent, title_vector=title.tobytes(), chat_vector=chat.tobytes(), mean_vector=chat.tobytes(),
            segment_end_ms=now_ms - 400, encoder_version="bench", rooms_offset=self._version, chat_offset=self._version,
            activity_offset=self._version, appended_ms=now_ms - 300, published_ms=now_ms - 5,
        )  # fmt: skip

    def profile(self, viewer: int, now_ms: int) -> ViewerProfile:
        """A viewer of three categories who returns to some twenty streamers."""
        rng = self._rng
        likes = rng.integers(0, CATEGORIES, 3)
        rooms = rng.integers(0, max(self._rooms // CATEGORIES, 1), 20) * CATEGORIES + likes[rng.integers(0, 3, 20)]
        rooms = np.minimum(rooms, self._rooms - 1)
        visits = tuple(
            Visit(RoomId(f"room-{r:06d}"), StreamerId(f"streamer-{r:06d}"), now_ms - 600_000 * i, now_ms - 500_000 * i,
                  int(rng.integers(0, 3_600_000)), 3, 1, 0)
            for i, r in reversed(list(enumerate(rooms.tolist())))
        )  # fmt: skip
        habits = tuple(
            StreamerHabit(visit.streamer, int(rng.integers(1, 9)), visit.watch_ms, visit.last_at_ms, followed=False)
            for visit in visits
        )
        return ViewerProfile(
            viewer=ViewerId(f"viewer-{viewer}"), visits=visits, habits=habits, room=None, total_visits=90,
            total_events=900, first_at_ms=0, last_at_ms=now_ms, recent_events=(1, 2, 3), appended_ms=now_ms,
        )  # fmt: skip


def batch_of(topic: str, records: list[tuple[str, bytes]], first: int = 0) -> Batch:
    """What a poll would bring. first: offset of the first record."""
    lines = [MemoryRecord(topic, 0, first + i, 0, key.encode(), value) for i, (key, value) in enumerate(records)]
    return Batch(records={Partition(topic, 0): lines})


def microseconds(call: Callable[[int], object], times: int) -> tuple[float, float]:
    """Median and 99th percentile of the CPU time of a call in its thread."""
    taken = []
    for i in range(times):
        began = time.thread_time()
        call(i)
        taken.append(time.thread_time() - began)
    return float(np.median(taken) * 1e6), float(np.percentile(taken, 99) * 1e6)


def put_live(tables: Tables, recommender: Recommender, num_rooms: int) -> None:
    """Puts a version as large as one that has seen all streamers in force."""
    from tests.untrained import untrained  # noqa: PLC0415  torch, which the other bench does not need
    from training.inference.served_model import Version  # noqa: PLC0415

    bundle = untrained("bench", [f"streamer-{room:06d}" for room in range(num_rooms)], "bench", DIMENSION)
    record = ModelVersion(name="rooms", version="bench", path="", state="live", metrics={}, at_ms=0)
    tables.apply(batch_of(MODELS, [(key_of(record).decode(), encode(record))]))
    metrics, clock = PrometheusMetrics(), SystemClock()
    Swapper(tables, lambda _: Version(bundle), recommender.warm, metrics=metrics, clock=clock).turn(threading.Event())
    if tables.rooms.embeddings.version != "bench":
        raise RuntimeError("the version does not go live")


def applied_us(tables: Tables, states: list[RoomState], first: int) -> float:
    """CPU time to apply a state, eight in a poll as where some hundred come a second. first: their first offset."""
    records = [(state.room, encode(state)) for state in states]
    batches = [batch_of(ROOM_STATES, records[at : at + 8], first + at) for at in range(0, len(records), 8)]
    began = time.thread_time()
    for batch in batches:
        tables.apply(batch)
    return (time.thread_time() - began) / len(states) * 1e6


def with_vectors_of(old: RoomState, new: RoomState) -> RoomState:
    """A state in which only counts are other than before."""
    vectors = {name: getattr(old, name) for name in ("title_vector", "chat_vector", "mean_vector", "appended_ms")}
    return msgspec.structs.replace(new, **vectors)


def measure(num_rooms: int, num_viewers: int, times: int, *, with_model: bool) -> dict[str, float]:
    """Fills the tables and asks."""
    clock, metrics, platform = SystemClock(), PrometheusMetrics(), Platform(num_rooms, num_viewers, seed=1)
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), metrics, clock)
    recommender = Recommender(tables, RecommendConfig(), metrics, clock)  # before the rooms: it loads the kernels
    now_ms = clock.now_ms()
    states = [platform.state(room, now_ms) for room in range(num_rooms)]
    apply_us = applied_us(tables, states, 0)
    profiles = [platform.profile(viewer, now_ms) for viewer in range(num_viewers)]
    tables.apply(batch_of(VIEWER_PROFILES, [(p.viewer, encode(p)) for p in profiles]))
    if with_model:
        put_live(tables, recommender, num_rooms)
    read_anew = [platform.state(room, now_ms) for room in range(num_rooms)]
    again_us = applied_us(tables, read_anew, num_rooms)
    counted = [with_vectors_of(old, platform.state(room, now_ms)) for room, old in enumerate(read_anew)]
    counts_us = applied_us(tables, counted, 2 * num_rooms)
    queries = [Query(viewer=f"viewer-{i}") for i in range(num_viewers)]
    recommender.recommend(Query(viewer="nobody"))
    cold_us, cold_p99_us = microseconds(lambda i: recommender.recommend(queries[i % num_viewers]), num_viewers)
    warm_us, warm_p99_us = microseconds(lambda i: recommender.recommend(queries[i % num_viewers]), times)
    stranger_us, _ = microseconds(lambda i: recommender.recommend(Query(viewer="nobody")), times)
    written_us, written_p99_us = microseconds(lambda i: recommender.recommend_json(queries[i % num_viewers]), times)
    renew_us, _ = microseconds(lambda _: recommender.renew(), 20)
    answer = recommender.recommend(queries[0])
    encode_us, _ = microseconds(lambda i: msgspec.json.encode(answer), times)
    return {
        "rooms": num_rooms, "apply_us": apply_us, "again_us": again_us, "counts_us": counts_us, "cold_us": cold_us,
        "cold_p99_us": cold_p99_us, "warm_us": warm_us, "warm_p99_us": warm_p99_us,
        "stranger_us": stranger_us, "written_us": written_us,
        "written_p99_us": written_p99_us, "encode_us": encode_us,
        "renew_us": renew_us, "bytes": len(msgspec.json.encode(answer)),
    }  # fmt: skip


def ways_to_ask(viewer: str) -> list[Query]:
    """A request of each kind."""
    return [
        Query(viewer=viewer), Query(viewer=viewer, limit=60), Query(viewer=viewer, explain=True),
        Query(viewer=viewer, exclude=[f"room-{room:06d}" for room in range(0, 400, 7)]),
        Query(viewer=viewer, exclude_streamers=("streamer-000012",)), Query(viewer="unknown " + viewer),
        Query(viewer=viewer, filters=Filters(language="de")),
        Query(viewer=viewer, filters=Filters(category="category 7")),
        Query(viewer=viewer, filters=Filters(mature="any")), Query(viewer=viewer, filters=Filters(min_audience=50)),
    ]  # fmt: skip


def compare(num_rooms: int, num_viewers: int, times: int, *, with_model: bool) -> dict[str, float]:
    """Has the same requests answered with vectors read in 16 bits and in float32. No answer may differ."""
    clock, metrics, platform = ManualClock(), PrometheusMetrics(), Platform(num_rooms, num_viewers, seed=2)
    now_ms = clock.now_ms()
    states = [encode(platform.state(room, now_ms)) for room in range(num_rooms)]
    rooms = batch_of(ROOM_STATES, [(f"room-{room:06d}", state) for room, state in enumerate(states)])
    profiles = [platform.profile(viewer, now_ms) for viewer in range(num_viewers)]
    viewers = batch_of(VIEWER_PROFILES, [(p.viewer, encode(p)) for p in profiles])
    recommenders = []
    for coarse in (True, False):
        tables = Tables(TablesConfig(), LiveIndex(IndexConfig(coarse=coarse)), metrics, clock)
        recommenders.append(Recommender(tables, RecommendConfig(), metrics, clock))
        tables.apply(rooms)
        tables.apply(viewers)
        if with_model:
            put_live(tables, recommenders[-1], num_rooms)
    different = 0
    for i in range(times):
        kinds = ways_to_ask(f"viewer-{i // 10 % num_viewers}")
        one, other = [each.recommend(kinds[i % 10], "same") for each in recommenders]
        different += one != other
    return {"rooms": num_rooms, "answers": times, "different": different}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--viewers", type=int, default=2_000)
    parser.add_argument("--times", type=int, default=4_000)
    parser.add_argument("--model", action="store_true", help="answer by a model (untrained) instead of version 0")
    parser.add_argument(
        "--compare", action="store_true", help="count the answers that 16 bits change, which must be none"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    work = compare if args.compare else measure
    figures = work(args.rooms, args.viewers, args.times, with_model=args.model)
    if args.json:
        print(json.dumps({name: round(value, 1) for name, value in figures.items()}))
    else:
        for name, value in figures.items():
            print(f"{name:12} {value:10.1f}")


if __name__ == "__main__":
    main()
