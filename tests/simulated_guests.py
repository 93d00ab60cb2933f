"""A log of guests who go where a real Recommender's lists lead them, without Kafka and faster than real time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Query, Recommender
from actors.settings import RecommendConfig
from streaming.log.codec import Decoder, encode
from streaming.log.topics import IMPRESSIONS, RULES, VIEWER_EVENTS
from streaming.operator_rule import OperatorRule
from streaming.simulated.guests import Guests, ListedRoom
from tests.unit.actors.replica import AXES, Replica, axis
from training.examples.event_stream import StreamRecord
from training.experiments import Experiment

ROOMS = 40
STEP_MS = 500
LIMIT = 10


class _Seen(msgspec.Struct):
    room: str
    streamer: str


class _Answer(msgspec.Struct):
    request_id: str
    rooms: list[_Seen]


def log_of(
    guests: int,
    seconds: int,
    experiments: Sequence[Experiment] = (),
    *,
    gain: Callable[[str], float] = lambda _viewer: 1.0,
    appeal: Callable[[str], float] = lambda _room: 1.0,
    rules: Sequence[OperatorRule] = (),
) -> list[StreamRecord]:
    """Impressions and viewers' events of so many seconds, in the order of append times.

    gain: how many times as easily a guest likes a room, by the guest's name. appeal: by the room's. rules: operators'.
    """
    replica, impressions = Replica(), Impressions(1.0, 100_000)
    for number in range(ROOMS):
        replica.room(f"room-{number}", title_vector=axis(number % AXES), entered=number)
    recommender = Recommender(
        replica.tables, RecommendConfig(), replica.metrics, replica.clock, impressions, experiments=experiments
    )
    for rule in rules:
        replica.send(RULES, rule.name, encode(rule))
    decode, read = Decoder(IMPRESSIONS), msgspec.json.Decoder(_Answer).decode
    start_ms = replica.clock.now_ms()
    moving = Guests(guests, start_ms, gain=gain, appeal=appeal)
    records: list[StreamRecord] = []
    for now_ms in range(start_ms, start_ms + 1_000 * seconds, STEP_MS):
        records += [StreamRecord(event.at_ms, VIEWER_EVENTS, 0, event) for event in moving.until(now_ms)]
        while (viewer := moving.looking()) is not None:
            answer = read(recommender.recommend_json(Query(viewer=viewer, limit=LIMIT)))
            moving.see(answer.request_id, [ListedRoom(one.room, one.streamer) for one in answer.rooms], now_ms)
        records += [
            StreamRecord(now_ms + 1_000, IMPRESSIONS, 0, decode(value)) for _, value in impressions.take(100_000)
        ]
        replica.clock.advance(STEP_MS)
    return sorted(records, key=lambda record: record.at_ms)
