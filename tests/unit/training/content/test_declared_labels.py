"""Numbers that stand for what a streamer declares: the same in replicas and in examples."""

from __future__ import annotations

from pathlib import Path

from streaming.events import RoomStarted, RoomUpdated
from streaming.recorded.replay import Channel
from streaming.room.window_config import WindowConfig
from tests.unit.training.features.test_room_columns import state
from tests.unit.training.recorded.recorded_chat import Said, chat_of, visits_of
from training.content.declared_labels import UNKNOWN, label, labels_of
from training.evaluation.recorded_examples import Beside
from training.examples.room_states import Liveness, RoomStateColumns


def test_a_label_stands_for_a_name_however_it_is_written() -> None:
    assert label("Chess") == label("chess") != label("Checkers")
    assert label("") == UNKNOWN


def test_of_a_room_counts_what_is_declared_and_no_guess() -> None:
    declared, guessed = state(language="pt", category="Chess"), state(language="pt", language_guessed=True)
    assert labels_of([declared, guessed, state()]).tolist() == [[label("pt"), label("Chess")], [0, 0], [0, 0]]
    assert labels_of([]).shape == (0, 2)


def test_of_a_recorded_channel_counts_what_is_known_beside_its_chat(tmp_path: Path) -> None:
    chat = chat_of([Said(0, "a", "v"), Said(1, "b", "v"), Said(2, "a", "w"), Said(3, "b", "v")], 2)
    test = visits_of(chat, tmp_path, Beside({"b": Channel(category="Chess", language="pt")})).test
    told = {
        chat.channels[channel]: labels
        for channel, labels in zip(test.channel_R, test.sets.labels_R2.tolist(), strict=True)
    }
    assert told == {"a": [0, 0], "b": [label("pt"), label("Chess")]}


def test_examples_see_the_labels_that_were_declared_by_then() -> None:
    rooms = RoomStateColumns(WindowConfig(), Liveness(), 8)
    started = RoomStarted(room="r", streamer="s", at_ms=1_000, title="one", category="Chess", language="pt")
    rooms.apply_lifecycle(started, 0, 1_000)
    before = int(rooms.title_N[rooms.slot("r")])
    rooms.apply_lifecycle(RoomUpdated(room="r", streamer="s", at_ms=2_000, title="two", category="Go"), 1, 2_000)
    after = int(rooms.title_N[rooms.slot("r")])
    rooms.apply_lifecycle(RoomUpdated(room="r", streamer="s", at_ms=3_000, title="three", language=""), 2, 3_000)
    last = int(rooms.title_N[rooms.slot("r")])
    told = [(rooms.texts[row].language, rooms.texts[row].category) for row in (before, after, last)]
    assert told == [("pt", "Chess"), ("pt", "Go"), ("", "Go")]
