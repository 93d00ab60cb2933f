"""A feature is one thing: as a replica logs it, and as examples of events and of recorded chat have it, to the bit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count, groupby
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from actors.profiles.partition import ProfilePartition
from actors.profiles.profile_map import ProfileMap
from actors.rooms.partition import RoomPartition, Tally
from streaming.clock import ManualClock
from streaming.events import RoomState, ViewerEvent, ViewerId
from streaming.log.codec import Decoder, encode
from streaming.log.dead_letter import DeadLetters
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import ROOM_ACTIVITY, ROOM_STATES, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.recorded.playback import Event, Timeline
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.unit.training.examples.played_chat import Line, Unseen, chat_of, evening, replay_of
from training.examples.event_stream import StreamRecord, from_replay
from training.examples.generator import ExamplePass
from training.examples.schema import ExamplesConfig
from training.features.features import SERVED, room_features, served
from training.features.room_columns import LiveRooms
from training.features.viewer_columns import ProfileReader
from training.features.visit_kinds import LIVE_MS
from training.recorded.chat import Chat
from training.recorded.chat_stream import from_chat
from training.recorded.visits import kinds

RECORDED = Path(__file__).parents[4].parent / "shared" / "data" / "twitch-chat-2025" / "chat.parquet"


class Sent:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.records: dict[str, list[tuple[bytes, bytes]]] = {}

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        self.records.setdefault(topic, []).append((key or b"", value or b""))

    def flush(self) -> None:
        pass


class Online:
    """Both workers and a replica, joined by bytes alone. Few profiles stay unpacked, so that others are restored."""

    def __init__(self) -> None:
        self._sent = Sent()
        letters = DeadLetters(self._sent, MemoryMetrics())  # type: ignore[arg-type]
        self._viewers = ProfilePartition(0, ProfileConfig(), letters, 3, ProfileMap(0, MemoryMetrics(), ManualClock()))
        self._rooms = RoomPartition(0, WindowConfig(), letters)
        self._live = LiveRooms(1_000)
        self._slots: dict[str, int] = {}
        self._states: dict[str, RoomState] = {}
        self._offset = count()

    def play(self, events: Iterable[Event]) -> None:
        """Takes events of one millisecond, and publishes what follows from them."""
        for event in events:
            self._apply(event.topic, event.at_ms, event.key, event.value)
        self._publish(event.at_ms)

    def _publish(self, at_ms: int) -> None:
        self._viewers.publish(self._sent)  # type: ignore[arg-type]
        self._viewers.publish_activity(self._sent)  # type: ignore[arg-type]
        for key, value in self._sent.records.pop(ROOM_ACTIVITY, []):
            self._apply(ROOM_ACTIVITY, at_ms, key, value)
        for held in self._rooms.touched:
            self._rooms.publish(held, self._sent, at_ms)  # type: ignore[arg-type]
        self._rooms.touched.clear()
        for _, value in self._sent.records.pop(ROOM_STATES, []):
            state: RoomState = Decoder(ROOM_STATES)(value)
            self._states[state.room] = state
            self._live.set(self._slots.setdefault(state.room, len(self._slots)), state)

    def lapse(self, at_ms: int) -> None:
        """Does what a ProfileWorker does once a second."""
        self._viewers.lapse(at_ms, 1_000)
        self._publish(at_ms)

    def _apply(self, topic: str, at_ms: int, key: bytes, value: bytes) -> None:
        record = MemoryRecord(topic, 0, next(self._offset), at_ms, key, value)
        if topic == VIEWER_EVENTS:
            self._viewers.apply([record])
        else:
            self._rooms.apply(topic, [record], Tally())

    def live(self, now_ms: int) -> list[RoomState]:
        """The states of the rooms that are live."""
        return [state for state in self._states.values() if state.chat_at_ms >= now_ms - LIVE_MS]

    def profile(self, viewer: str) -> bytes | None:
        """The viewer's profile as it is on the log."""
        return self._viewers.profile(ViewerId(viewer))

    def log_features(self, viewer: str, entered: str, now_ms: int) -> dict[str, NDArray[np.float32]]:
        """By room, those live and the one entered."""
        rooms = [room for room, state in self._states.items() if state.chat_at_ms >= now_ms - LIVE_MS]
        streamers = [self._states[room].streamer for room in rooms]
        if entered not in rooms and entered in self._states:
            rooms, streamers = [*rooms, entered], [*streamers, self._states[entered].streamer]
        value = self._viewers.profile(ViewerId(viewer))
        past = ProfileReader(Decoder(VIEWER_PROFILES)(value) if value is not None else None)
        slots_N = np.array([self._slots[room] for room in rooms], np.int64)
        own = past.viewer_room(past.rows(streamers), now_ms)
        known = past.viewer(int(np.count_nonzero(own.visits_N)), now_ms)
        arrivals = self._live.arrivals(slots_N, past.origin, now_ms)
        rows_NF = served(room_features(self._live.rooms(slots_N, now_ms)), own, arrivals, known, now_ms)
        return dict(zip(rooms, rows_NF, strict=True))


def with_leaves(replay: Replay) -> list[Event]:
    """The events of chat alone, and before half of the viewers' moves that they left."""
    random, events = Random(1), list(replay.events(Timeline()))
    last: dict[str, ViewerEvent] = {}
    leaves = []
    for event in events:
        if event.topic != VIEWER_EVENTS:
            continue
        before, last[event.record.viewer] = last.get(event.record.viewer), event.record
        if before is None or event.record.action != "enter" or random.random() < 0.5:
            continue
        at_ms = random.randint(before.at_ms, event.at_ms)
        said = ViewerEvent(
            viewer=before.viewer, room=before.room, streamer=before.streamer, action="leave", at_ms=at_ms
        )
        leaves.append(Event(VIEWER_EVENTS, event.key, encode(said), at_ms))
    return sorted([*leaves, *events], key=lambda event: event.at_ms)


def logged(events: Iterable[Event]) -> list[tuple[int, str, dict[str, NDArray[np.float32]]]]:
    """What a replica that is asked at each visit would log, just before the visit is known."""
    online, found = Online(), []
    for at_ms, group in groupby(events, lambda event: event.at_ms):
        together = list(group)
        online.lapse(at_ms)
        for event in together:
            record = event.record if event.topic == VIEWER_EVENTS else None
            if isinstance(record, ViewerEvent) and record.action == "enter":
                found.append((at_ms, record.viewer, online.log_features(record.viewer, record.room, at_ms)))
        online.play(together)
    return found


@pytest.mark.parametrize("leaves", [False, True])
def test_features_logged_online_are_those_rebuilt_for_examples(tmp_path: Path, leaves: bool) -> None:
    replay = replay_of(tmp_path, evening(1))
    events = with_leaves(replay) if leaves else list(replay.events(Timeline()))
    passing = ExamplePass(ExamplesConfig(), chat_alone=True)
    happened = (StreamRecord(event.at_ms, event.topic, offset, event.record) for offset, event in enumerate(events))
    examples = list(passing.examples(happened, Unseen()))
    online = logged(events)
    names = list(passing.rooms.numbers)
    assert [(example.at_ms, example.viewer) for example in examples] == [visit[:2] for visit in online]
    assert len(examples) > 300
    compared = known = 0
    for example, (_, _, rows) in zip(examples, online, strict=True):
        rebuilt = {names[room]: row for room, row in zip(example.room_N, example.features_NF, strict=True)}
        if example.outside and names[example.room_N[example.entered]] not in rows:
            continue  # a room that nobody knew can be logged by nobody, and changes the ranks of the others
        assert rebuilt.keys() == rows.keys()
        for room, row_F in rows.items():
            assert row_F.tobytes() == rebuilt[room].tobytes(), (example.at_ms, room)
            compared += 1
            known += bool(np.isfinite(row_F[SERVED.index("audience")]))
    assert compared > known > 1_000


def assert_same_examples(replay: Replay, chat: Chat, texts: Sequence[str]) -> int:
    """That the stream of recorded chat gives the examples of its replay, room by room to the bit; how many they are."""
    passing, streaming = (ExamplePass(ExamplesConfig(), chat_alone=True) for _ in range(2))
    replayed = passing.examples(from_replay(replay), Unseen())
    streamed = streaming.examples(from_chat(chat, kinds(chat), {}, pa.array(list(texts))), Unseen())
    examples = 0
    for example, one in zip(replayed, streamed, strict=True):
        examples += 1
        plain = [(each.at_ms, each.viewer, each.kind, each.outside) for each in (example, one)]
        assert plain[0] == plain[1]
        order, other = np.argsort(one.room_N), np.argsort(example.room_N)
        assert one.room_N[order].tolist() == example.room_N[other].tolist()
        assert one.room_N[one.entered] == example.room_N[example.entered]
        assert one.features_NF[order].tobytes() == example.features_NF[other].tobytes()
        assert one.past_text_T3[:, 0].tolist() == example.past_text_T3[:, 0].tolist()
    assert streaming.rooms.streamers == passing.rooms.streamers
    return examples


@pytest.mark.parametrize("seed", range(2))
def test_the_stream_of_recorded_chat_gives_the_examples_of_its_replay(tmp_path: Path, seed: int) -> None:
    lines = evening(seed)
    assert assert_same_examples(replay_of(tmp_path, lines), chat_of(lines), [line.text for line in lines]) > 300


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.exists(), reason=f"no recording at {RECORDED}")
def test_the_stream_of_a_recording_gives_the_examples_of_its_replay() -> None:
    recording, limit = Recording.open(RECORDED), 4_000
    batch = next(iter(recording.batches(("channel", "viewer", "text", "at_us"))))
    columns = [batch[name].to_pylist()[:limit] for name in ("channel", "viewer", "text")]
    at_ms = [at_us // 1_000 for at_us in batch["at_us"].tolist()[:limit]]
    lines = [Line(*line) for line in zip(at_ms, *columns, strict=True)]
    replay = Replay(recording, selection=Selection(limit=limit))
    assert assert_same_examples(replay, chat_of(lines), columns[2]) > 1_000
