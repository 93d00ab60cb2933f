"""What a recording's visits know: of content what had closed, of moves and totals what had happened, in any shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from streaming.log.topics import ROOMS
from streaming.recorded.replay import Channel
from streaming.room.window_config import WindowConfig
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION, fake_vectors
from tests.unit.training.recorded.recorded_chat import Said, Silent, chat_of, crowd, visits_of
from training.content.content_vector import mix
from training.evaluation.learned_rankers import shuffled_content, without_content
from training.evaluation.recorded_examples import Beside, ContentSource, pass_over
from training.examples import writer
from training.features.features import COLUMN
from training.features.visit_kinds import SILENCE_US
from training.model.batches import CandidateSets, VisitSequences
from training.recorded.chat_stream import from_chat
from training.recorded.recorded_visits import RecordedVisits
from training.recorded.transitions import transitions_of_training
from training.recorded.visits import kinds

T0 = 1_800_000_000  # a multiple of 30
LATENESS = WindowConfig().lateness_s
Line = tuple[float, str, str]


@dataclass
class FakeEncoder:
    """Gives vectors that depend on the words."""

    version: str = FAKE_VERSION
    dimension: int = FAKE_DIMENSION

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        return fake_vectors(texts)


def about(texts: Sequence[str], folder: Path, known: Mapping[str, Channel] | None = None) -> Beside:
    source = ContentSource(pa.array(list(texts)), FakeEncoder(), folder / "vectors")
    return Beside(known or {}, content=source)


def content_at(
    folder: Path, at_s: float, *lines: Line, known: Mapping[str, Channel] | None = None
) -> dict[str, tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Content and slow mean of the rooms live for a newcomer at a second after T0. Lines: second, channel, text."""
    before = [line for line in lines if line[0] < at_s]
    said = [Said(T0 + second, channel, f"v{i}") for i, (second, channel, _) in enumerate(before)]
    chat = chat_of([*said, Said(T0 + at_s, before[-1][1], "newcomer")], len(said))
    test = visits_of(chat, folder, about([*(text for *_, text in before), "hello"], folder, known)).test
    sets = test.sets
    rows = zip(test.channel_R.tolist(), sets.now_R.tolist(), sets.mean_R.tolist(), strict=True)
    table = sets.contents
    return {chat.channels[channel]: (table.now_KD[now], table.mean_LD[mean]) for channel, now, mean in rows}


def vector(text: str) -> NDArray[np.float16]:
    vector_D: NDArray[np.float16] = fake_vectors([text])[0]
    return vector_D


def unit(text: str) -> NDArray[np.float16]:
    """What a room without a title is about: the text's vector, normalised and kept in 16 bits."""
    mixed_1D = mix(np.zeros((1, FAKE_DIMENSION), np.float16), vector(text)[None], 0.4)
    kept_D: NDArray[np.float16] = mixed_1D[0].astype(np.float16)
    return kept_D


def test_a_segment_is_known_once_it_has_closed_and_not_before(tmp_path: Path) -> None:
    lines = ((1.0, "a", "first"), (31.0, "a", "second"), (30.0 + LATENESS, "a", "third"), (50.0, "b", "other"))
    early = content_at(tmp_path, 30 + LATENESS, *lines)
    assert np.isnan(early["a"][0]).all()  # it closes with the first message of that time: not before it
    later = content_at(tmp_path, 55, *lines)
    assert np.array_equal(later["a"][0], unit("first"))
    assert np.isnan(later["b"][0]).all()


def test_a_broadcast_begins_without_the_content_of_the_one_before(tmp_path: Path) -> None:
    start_s = 200 + SILENCE_US / 1e6
    lines = ((1.0, "a", "tonight"), (200.0, "b", "x"), (start_s, "a", "next day"))
    before, after = content_at(tmp_path, 201, *lines), content_at(tmp_path, start_s + 1, *lines)
    assert np.array_equal(before["a"][0], unit("tonight"))
    assert np.array_equal(before["a"][1], vector("tonight"))
    assert np.isnan(after["a"][0]).all()
    assert not after["a"][1].any()


def test_a_title_is_mixed_in_and_stands_alone_until_chat_is_known(tmp_path: Path) -> None:
    known = {"a": Channel("Elden Ring", "Games")}
    lines = ((1.0, "a", "first"), (2.0, "b", "other"), (40.0, "a", "second"), (41.0, "b", "x"))
    title_1D = vector("Elden Ring. Games")[None]
    early = content_at(tmp_path, 3, *lines, known=known)
    assert early["a"][0] == pytest.approx(title_1D[0], abs=1e-3)
    assert np.isnan(early["b"][0]).all()
    mixed_D = mix(title_1D, vector("first")[None], 0.4)[0]
    assert content_at(tmp_path, 45, *lines, known=known)["a"][0] == pytest.approx(mixed_D, abs=1e-3)


def test_what_is_said_after_a_time_changes_no_content_before_it(tmp_path: Path) -> None:
    said = crowd(3, 1500, num_channels=4)
    cut_s, chat = said[900].at_s, chat_of(said, 100)
    texts = [f"word{i % 50} and {i}" for i in range(len(said))]
    changed = [text if one.at_s < cut_s else f"other {text}" for one, text in zip(said, texts, strict=True)]
    found = []
    for each in (texts, changed):
        test = visits_of(chat, tmp_path, about(each, tmp_path)).test
        early = int(np.searchsorted(test.at_us_V, cut_s * 1e6))
        rows = int(test.sets.size_V[:early].sum())
        table, sets = test.sets.contents, test.sets
        vectors = (table.now_KD[sets.now_R], table.mean_LD[sets.mean_R])
        found.append(([one[:rows].tobytes() for one in vectors], [one[rows:].tobytes() for one in vectors]))
        assert rows > 500
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]  # otherwise the test could not fail


def assert_same(one: RecordedVisits, other: RecordedVisits) -> None:
    """All but the table of content, whose rows are numbered by shard."""
    assert len(one) == len(other)
    for name in ("message_V", "at_us_V", "viewer_V", "outside_V"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    for field in fields(CandidateSets):
        if field.name not in ("pasts", "contents"):
            columns = getattr(one.sets, field.name), getattr(other.sets, field.name)
            assert columns[0].tobytes() == columns[1].tobytes(), field.name
    for field in fields(VisitSequences):
        assert np.array_equal(getattr(one.sets.pasts, field.name), getattr(other.sets.pasts, field.name))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_shards_of_any_size_hold_the_same_visits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    chat = chat_of(crowd(4, 400), 300)
    kind_M = kinds(chat)
    whole = visits_of(chat, tmp_path)
    monkeypatch.setattr(writer, "SHARD_EXAMPLES", size)
    passed = pass_over(chat, kind_M, kind_M >= 0, Beside(), folder=tmp_path / "parts", progress=Silent())
    reader = passed.encoded(Silent())
    assert_same(reader.past(), whole.past)
    first = 0
    for shard in reader.rest():
        assert_same(shard, whole.test.between(first, first + len(shard)))
        first += len(shard)
    assert first == len(whole.test) == reader.num_rest


def test_visits_that_are_taken_are_the_same_as_those_alone(tmp_path: Path) -> None:
    test = visits_of(chat_of(crowd(4, 400), 300), tmp_path).test
    taken = test.taken(np.array([7, 2]))
    for place, at in enumerate((7, 2)):
        assert_same(taken.between(place, place + 1), test.between(at, at + 1))
    assert test.usable().sets.size_V.min() > 1
    assert not test.usable().outside_V.any()
    assert taken.channel_R[taken.entered_R].tolist() == test.channel_R[test.entered_R][[7, 2]].tolist()


def test_a_visit_that_repeats_another_of_its_millisecond_is_none(tmp_path: Path) -> None:
    twice = [Said(T0 + 5, "a", "v"), Said(T0 + 5, "b", "v"), Said(T0 + 5, "a", "v")]
    chat = chat_of([Said(T0, "a", "w"), Said(T0 + 1, "b", "w"), *twice, Said(T0 + 9, "b", "v")], 2)
    assert visits_of(chat, tmp_path).test.message_V.tolist() == [2, 3]  # and b is where v still is


def test_visits_that_are_no_example_count_in_moves_and_totals_and_in_the_past(tmp_path: Path) -> None:
    chat = chat_of(crowd(4, 400), 300)
    every = visits_of(chat, tmp_path).test
    last_M = np.arange(400) == every.message_V[-1]
    alone = visits_of(chat, tmp_path, wanted_M=last_M).test
    assert len(alone) == 1
    rows = slice(int(every.sets.starts()[-1]), None)
    assert alone.sets.features_RF.tobytes() == every.sets.features_RF[rows].tobytes()
    assert alone.sets.pasts.length_V[0] == every.sets.pasts.length_V[-1] > 1
    kind_M = kinds(chat)
    entered = chat.channel_M[(kind_M >= 0) & (chat.at_us_M < every.at_us_V[-1])]
    totals_R = alone.sets.features_RF[:, COLUMN["total_visits"]]
    assert totals_R.tolist() == np.bincount(entered, minlength=8)[alone.channel_R].tolist()


def test_the_transitions_of_training_end_with_it() -> None:
    said = crowd(4, 400)
    row_C = np.arange(1, 9, dtype=np.int32)
    chat, changed = chat_of(said, 300), chat_of([*said[:300], *(Said(one.at_s, "c0", "x") for one in said[300:])], 300)
    tables = [transitions_of_training(each, kinds(each), row_C).export(9).arrays() for each in (chat, changed)]
    assert all(np.array_equal(tables[0][name], tables[1][name]) for name in tables[0])
    later = transitions_of_training(chat_of(said, 400), kinds(chat), row_C).export(9).arrays()
    assert any(not np.array_equal(tables[0][name], later[name]) for name in later)


def test_a_placebo_replaces_content_and_without_it_there_is_none(tmp_path: Path) -> None:
    said = crowd(3, 300, num_channels=4)
    texts = [f"word{i % 50}" for i in range(len(said))]
    sets = visits_of(chat_of(said, 100), tmp_path, about(texts, tmp_path)).test.sets
    other, none = shuffled_content(1)(sets), without_content(5)(sets)
    own_KD, dealt_KD = np.nan_to_num(sets.contents.now_KD), np.nan_to_num(other.contents.now_KD)
    assert np.array_equal(np.sort(own_KD, axis=0), np.sort(dealt_KD, axis=0))
    assert (own_KD == dealt_KD).all(axis=1).mean() < 0.5
    assert not other.contents.mean_LD[0].any()
    assert none.contents.now_KD.shape == (1, 5)
    assert not none.contents.has_now_K[none.now_R].any()
    assert not none.pasts.now_VT.any()


def test_visits_to_a_room_that_was_not_live_teach_nothing(tmp_path: Path) -> None:
    said = [Said(T0, "a", "u"), Said(T0 + 1, "b", "w"), Said(T0 + 2, "asleep", "v")]
    said += [Said(T0 + 2 + i, channel, f"{channel} {i}") for i in range(400, 402) for channel in ("a", "b")]
    test = visits_of(chat_of([*said, Said(T0 + 405, "asleep", "x"), Said(T0 + 406, "a", "y")], 3), tmp_path).test
    asleep, known = test.outside_V.tolist()[-2:]
    assert asleep
    assert not known
    assert test.usable().message_V.tolist() == [
        m for m, o in zip(test.message_V.tolist(), test.outside_V, strict=True) if not o
    ]


@pytest.mark.parametrize(("silence_s", "rooms"), [(1_799.999, 1), (1_800, 2)])
def test_half_an_hour_of_silence_parts_two_broadcasts(silence_s: float, rooms: int) -> None:
    chat = chat_of([Said(T0, "a", "u"), Said(T0 + silence_s, "a", "v")], 0)
    started = [found.record.room for found in from_chat(chat, kinds(chat), {}) if found.topic == ROOMS]
    assert len(set(started)) == len(started) == rooms
