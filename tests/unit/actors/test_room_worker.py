"""Owns what a RoomWorker does with the log and the encoder, turn by turn on an in-memory log."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from actors.encoding import EncoderClient
from actors.room_worker import GROUP, TOPICS, RoomWorker, RoomWorkerConfig
from streaming.clock import ManualClock
from streaming.codec import Decoder, encode
from streaming.events import (
    ChatMessage,
    DeadLetter,
    RoomActivity,
    RoomEnded,
    RoomId,
    RoomStarted,
    RoomState,
    RoomUpdated,
)
from streaming.log import Partition
from streaming.memory_log import MemoryLog, MemorySource
from streaming.metrics import MemoryMetrics
from streaming.topics import CHAT, DEAD_LETTER, ROOM_ACTIVITY, ROOM_STATES, ROOMS
from streaming.window import WindowConfig
from tests.fake_encoder import FAKE_VERSION, InstantEncoder, ManualEncoder, fake_vectors

START_MS = 1_700_000_000_000


class Stage:
    """A RoomWorker on an in-memory log, moved turn by turn."""

    def __init__(self, encoder: EncoderClient | None = None, config: RoomWorkerConfig | None = None) -> None:
        self.clock = ManualClock(START_MS)
        self.metrics = MemoryMetrics()
        topics = (*TOPICS, ROOM_STATES)
        self.log = MemoryLog(self.clock, {**dict.fromkeys(topics, 2), DEAD_LETTER: 1})
        self.encoder = encoder or InstantEncoder()
        self.config = config or RoomWorkerConfig()
        self.producer = self.log.sink()
        self.start()

    def start(self) -> None:
        """A new process of the same member; the old one is never heard of again."""
        self.worker = RoomWorker(
            self.log,
            "0",
            config=self.config,
            window=WindowConfig(),
            encoder=self.encoder,
            metrics=self.metrics,
            clock=self.clock,
        )
        self.sink = self.log.sink(f"{GROUP}-0")
        self.source: MemorySource = self.log.group(TOPICS, GROUP, "0")
        self.worker.begin(self.source, self.sink)

    def send(self, *records: object, topic: str | None = None) -> None:
        for record in records:
            where = topic or (CHAT if isinstance(record, ChatMessage) else ROOMS)
            self.producer.send(where, record.room.encode(), encode(record))  # type: ignore[attr-defined,arg-type]

    def turn(self, advance_ms: int = 20) -> None:
        self.clock.advance(advance_ms)
        batch = self.source.poll(0)
        if batch.assigned:
            self.worker.assign(batch.assigned)
        self.worker.apply(batch)
        positions = self.worker.publish(final=False)
        if positions is not None:
            self.sink.commit(self.source, positions)

    def turns(self, count: int, advance_ms: int = 20) -> None:
        for _ in range(count):
            self.turn(advance_ms)

    def states(self) -> dict[str, RoomState | None]:
        decode = Decoder(ROOM_STATES)
        found: dict[str, RoomState | None] = {}
        for partition in self.log.partitions(ROOM_STATES):
            for line in self.log.read(partition, 0, 100_000):
                assert line.key is not None
                found[line.key.decode()] = None if line.value is None else decode(line.value)
        return found

    def state(self, room: str) -> RoomState:
        state = self.states()[room]
        assert state is not None
        return state

    def letters(self) -> list[DeadLetter]:
        decode = Decoder(DEAD_LETTER)
        return [decode(line.value or b"") for line in self.log.read(Partition(DEAD_LETTER, 0), 0, 1000)]

    def started(self, room: str, title: str = "a title") -> RoomStarted:
        return RoomStarted(room=room, streamer="s", at_ms=self.clock.now_ms(), title=title)

    def said(self, room: str, text: str, viewer: str = "v") -> ChatMessage:
        return ChatMessage(room=room, viewer=viewer, text=text, at_ms=self.clock.now_ms())


def test_started_room_is_published_with_its_title_vector() -> None:
    stage = Stage()
    stage.send(stage.started("r", "cooking pasta"))
    stage.turns(4)
    state = stage.state("r")
    assert state.title == "cooking pasta"
    assert state.title_vector == fake_vectors(["cooking pasta"])[0].tobytes()
    assert state.encoder_version == FAKE_VERSION


def test_chat_changes_the_vector_within_a_few_turns() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(4)
    stage.send(stage.said("r", "what a lovely sauce"))
    stage.turns(4)
    assert stage.state("r").chat_vector == fake_vectors(["what a lovely sauce"])[0].tobytes()


def test_chat_that_waited_long_for_the_encoder_is_encoded_short_first_and_then_whole() -> None:
    stage = Stage(config=RoomWorkerConfig(short_after_s=10))
    stage.send(stage.started("r"))
    stage.turns(4)
    lines = [f"this is long message number {number} of the chat" for number in range(4)]
    stage.send(*(stage.said("r", line) for line in lines))
    stage.turns(2, advance_ms=11_000)
    assert stage.metrics.value("texts_encoded_total", purpose="short") == 1
    assert stage.metrics.value("texts_encoded_total", purpose="now") == 0
    stage.turns(600)
    assert stage.metrics.value("texts_encoded_total", purpose="now") == 1
    whole = stage.state("r").chat_vector
    assert whole in {fake_vectors(["\n".join(order)])[0].tobytes() for order in permutations(lines)}
    assert stage.state("r").vector_offset == stage.state("r").chat_offset


def test_vector_of_chat_that_went_on_meanwhile_is_followed_by_a_newer_one() -> None:
    encoder = ManualEncoder()
    stage = Stage(encoder)
    stage.send(stage.started("r"), stage.said("r", "first words here"))
    stage.turns(2)
    stage.send(stage.said("r", "second words here"))
    stage.turns(2)
    encoder.finish()
    stage.turns(12)
    encoder.finish()
    stage.turns(3)
    state = stage.state("r")
    assert state.chat_vector == fake_vectors(["second words here\nfirst words here"])[0].tobytes()
    assert state.vector_offset == state.chat_offset


def test_encoder_that_fails_is_asked_again() -> None:
    encoder = ManualEncoder()
    stage = Stage(encoder)
    stage.send(stage.started("r", "cooking"))
    stage.turns(2)
    encoder.fail()
    stage.turns(10, 100)
    assert stage.metrics.value("encoder_failures_total") == 1
    encoder.finish()
    stage.turns(2)
    assert stage.state("r").title_vector == fake_vectors(["cooking"])[0].tobytes()


def test_silent_encoder_is_asked_again() -> None:
    encoder = ManualEncoder()
    stage = Stage(encoder)
    stage.send(stage.started("r", "cooking"))
    stage.turns(2)
    encoder.waiting.clear()
    stage.turns(30, 1_000)
    encoder.finish()
    stage.turn()
    assert stage.state("r").title_vector


def test_counts_alone_are_published_about_once_a_second() -> None:
    stage = Stage(ManualEncoder())
    stage.send(stage.started("r"))
    stage.turns(3)
    before = stage.metrics.value("states_published_total", cause="counts")
    for _ in range(100):
        stage.send(stage.said("r", "hello hello there"))
        stage.turn(30)
    published = stage.metrics.value("states_published_total", cause="counts") - before
    assert 1 <= published <= 4


def test_activity_is_published() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.send(RoomActivity(room=RoomId("r"), bucket_ms=START_MS, entered=3, left=1), topic=ROOM_ACTIVITY)
    stage.turns(5, 600)
    assert (stage.state("r").entered, stage.state("r").left) == (3, 1)


def test_ended_room_is_published_at_once_and_buried_after_an_hour() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(3)
    stage.send(RoomEnded(room="r", at_ms=stage.clock.now_ms()))
    stage.turn()
    assert stage.state("r").status == "ended"
    stage.turns(4, 3_600_000)
    assert stage.states()["r"] is None


def test_silent_room_is_presumed_ended_and_revived_by_chat() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(20, 60_000)
    assert stage.state("r").status == "presumed_ended"
    stage.send(stage.said("r", "we are back again"))
    stage.turns(5, 500)
    assert stage.state("r").status == "live"


def test_room_is_not_presumed_ended_while_no_broker_answers() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(4)
    stage.log.pause()
    for _ in range(20):
        stage.clock.advance(60_000)
        stage.worker.apply(stage.source.poll(0))
    stage.log.resume()
    stage.turns(3)
    assert stage.state("r").status == "live"


@pytest.mark.parametrize("value", [b"not json", b"{}", b'{"type":"chat","v":9}', b"\xff\xfe", b"[1]", None])
def test_undecodable_record_is_a_dead_letter_and_delays_nothing(value: bytes | None) -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.producer.send(CHAT, b"r", value)
    stage.send(stage.said("r", "goes on as usual"))
    stage.turns(5, 400)
    (letter,) = stage.letters()
    assert (letter.topic, letter.offset, letter.value) == (CHAT, 0, value)
    assert stage.state("r").messages == 1


def test_record_of_the_far_future_or_with_another_key_is_refused() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.send(ChatMessage(room="r", viewer="v", text="x", at_ms=START_MS + 3_600_000))
    stage.producer.send(CHAT, b"other", encode(stage.said("r", "x")))
    stage.turns(5, 400)
    assert len(stage.letters()) == 2
    assert stage.state("r").messages == 0


def test_chat_before_the_start_counts_once_the_room_starts() -> None:
    stage = Stage()
    stage.send(stage.said("r", "first of all"))
    stage.turns(3)
    assert "r" not in stage.states()
    stage.send(stage.started("r"))
    stage.turns(5, 400)
    assert stage.state("r").messages == 1
    assert stage.metrics.value("chat_orphaned_total") == 1


def test_orphans_are_forgotten() -> None:
    stage = Stage()
    stage.send(stage.said("r", "nobody starts this room"))
    stage.turns(3)
    stage.turns(3, 601_000)
    assert not any(home.rooms for home in stage.worker._homes.values())


def test_title_change_is_encoded_again() -> None:
    stage = Stage()
    stage.send(stage.started("r", "cooking"))
    stage.turns(3)
    stage.send(RoomUpdated(room="r", streamer="s", at_ms=stage.clock.now_ms(), title="chess"))
    stage.turns(3)
    assert stage.state("r").title_vector == fake_vectors(["chess"])[0].tobytes()


def test_restart_at_any_turn_gives_the_states_of_a_run_without() -> None:
    def play(restart_every: int) -> dict[str, RoomState | None]:
        stage = Stage()
        rng = np.random.default_rng(7)
        for step in range(400):
            if step % 40 == 0:
                stage.send(stage.started(f"r{step // 40 % 4}", f"title {step}"))
            for _ in range(int(rng.integers(0, 4))):
                stage.send(
                    stage.said(f"r{rng.integers(4)}", f"word{rng.integers(30)} says {rng.integers(9)}", f"v{step}")
                )
            stage.turn(500)
            if restart_every and step % restart_every == restart_every - 1:
                stage.start()
        stage.turns(40, 400)
        return stage.states()

    def facts(states: dict[str, RoomState | None]) -> dict[str, object]:
        return {
            room: state and {name: getattr(state, name) for name in state.__struct_fields__ if name != "published_ms"}
            for room, state in states.items()
        }

    undisturbed = facts(play(0))
    assert any(state and state["mean_segment"] > 0 for state in undisturbed.values())  # type: ignore[index,operator]
    for every in (3, 17, 90):
        assert facts(play(every)) == undisturbed


def test_what_waited_for_the_encoder_is_encoded_after_a_restart_without_a_new_record() -> None:
    stage = Stage(ManualEncoder())  # which never answers
    stage.send(stage.started("quiet"), stage.started("loud"))
    stage.turns(3)
    stage.send(stage.said("loud", "words of the first segment"))
    stage.turns(50, advance_ms=1_000)
    stage.send(stage.said("loud", "words of a later one"))
    stage.turns(70, advance_ms=1_000)
    assert {state and state.title_vector + state.chat_vector for state in stage.states().values()} == {b""}

    stage.encoder = InstantEncoder()
    stage.start()
    stage.turns(10)
    assert stage.state("quiet").title_vector and stage.state("loud").title_vector
    loud = stage.state("loud")
    assert loud.chat_vector == fake_vectors(["words of a later one"])[0].tobytes()
    assert loud.vector_offset == loud.chat_offset
    assert loud.mean_segment == START_MS // 30_000  # the later one is open until the partition has newer chat


def test_that_a_segment_has_closed_which_the_mean_does_not_want_is_published() -> None:
    stage = Stage()
    stage.send(stage.started("quiet"), stage.started("loud"))
    for number in range(4):
        stage.send(stage.said("quiet", f"words of segment {number}"))
        stage.turns(30, advance_ms=1_000)
    last = stage.clock.now_ms() // 30_000 - 1
    for _ in range(40):
        stage.send(stage.said("loud", "a word"), stage.said("noisy", "another partition's"))
        stage.turns(3, advance_ms=1_000)
    assert stage.state("quiet").mean_segment == last


def test_status_tells_partitions_rooms_and_lag() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(5, 400)
    status = stage.worker.status()
    assert (status.partitions, status.rooms_live, status.encoder_backlog) == ((0, 1), 1, 0)
    assert status.lag == {ROOMS: 0, CHAT: 0, ROOM_ACTIVITY: 0}
