"""What a recording's channels were about: the texts a worker would encode, the cache, and a lookup that is causal."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from streaming.errors import ConfigError
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Channel
from streaming.room.text import text_hash
from streaming.room.vectors import to_bytes, updated_mean
from streaming.room.window import ChatWindow
from streaming.room.window_config import WindowConfig
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION, fake_vectors
from tests.unit.training.recorded.recorded_chat import Said, chat_of, crowd, write
from training.content.content_vector import mix
from training.content.encode_missing import encode_missing
from training.content.vector_cache import VectorCache
from training.features.visit_kinds import SILENCE_US
from training.recorded.chat import Chat, Windows, load, load_texts
from training.recorded.content_timeline import ContentTimeline, ShuffledContent
from training.recorded.recorded_content import content_timeline
from training.recorded.segments import cut

CONFIG = WindowConfig()
T0 = 1_800_000_000  # a multiple of 30
LATENESS = CONFIG.lateness_s


@dataclass
class FakeEncoder:
    """Remembers what it was given; fails after so many texts."""

    version: str = FAKE_VERSION
    dimension: int = FAKE_DIMENSION
    fails_after: int = 10**9
    given: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        if len(self.given) + len(texts) > self.fails_after:
            raise KeyboardInterrupt
        self.given.extend(texts)
        return fake_vectors(texts)


class Silent:
    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def encoded(self, done: int, total: int) -> None:
        self.told.append((done, total))


def spoken(*lines: tuple[float, str, str]) -> tuple[Chat, pa.StringArray]:
    """Second after T0, channel, text."""
    chat = chat_of([Said(T0 + at_s, channel, f"v{i}") for i, (at_s, channel, _) in enumerate(lines)], 1)
    return chat, pa.array([text for *_, text in lines])


def timeline_of(
    chat: Chat, text_M: pa.StringArray, folder: Path, known: dict[str, Channel] | None = None
) -> ContentTimeline:
    return content_timeline(chat, text_M, known or {}, encoder=FakeEncoder(), folder=folder, progress=Silent())


def us(at_s: float) -> int:
    return round((T0 + at_s) * 1e6)


def vector(text: str) -> NDArray[np.float16]:
    vector_D: NDArray[np.float16] = fake_vectors([text])[0]
    return vector_D


def unit(text: str) -> NDArray[np.float32]:
    """What a room without a title is about: the text's vector, normalised and kept in 16 bits."""
    mixed_1D = mix(np.zeros((1, FAKE_DIMENSION), np.float16), vector(text)[None], 0.4)
    kept_D: NDArray[np.float32] = mixed_1D[0].astype(np.float16).astype(np.float32)
    return kept_D


BOTH = np.array([0, 1])


# cutting


def test_segments_have_the_texts_that_a_workers_window_closes() -> None:
    said = crowd(5, 2000, num_channels=3)
    chat = chat_of(said, 100)
    text_M = pa.array([f"message {i % 7} of {i}" for i in range(len(said))])
    segments = cut(chat, text_M, CONFIG)
    for channel, name in enumerate(chat.channels):
        window, closed = ChatWindow(CONFIG), []
        rows = [i for i in range(len(said)) if said[i].channel == name]
        for i in rows:  # one at a time, as a log may bring them
            at_ms = round(said[i].at_s * 1e3)
            window.add(str(chat.viewer_M[i]), text_M[i].as_py(), at_ms, i, at_ms)
            closed += window.closed
            window.closed.clear()
        window.expire(window.head_ms + 100_000)
        closed += window.closed
        own = np.flatnonzero(segments.channel_S == channel)
        assert len(own) > 20
        assert [segments.texts[i] for i in own] == [each.text for each in closed]
        assert segments.index_S[own].tolist() == [each.index for each in closed]
        assert segments.hash_S[own].tolist() == [each.hash for each in closed]


def test_half_an_hour_of_silence_parts_two_broadcasts() -> None:
    chat, text_M = spoken((0, "a", "one"), (40, "a", "two"), (40 + SILENCE_US / 1e6, "a", "three"), (41, "b", "b"))
    segments = cut(chat, text_M, CONFIG)
    assert segments.broadcast_S[segments.channel_S == 0].tolist() == [0, 0, 1]


def test_a_segment_in_which_nothing_is_said_is_none() -> None:
    chat, text_M = spoken((0, "a", "\u0007"), (1, "b", "words"))
    assert cut(chat, text_M, CONFIG).texts == ("words",)


# the lookup


def test_a_segment_is_known_once_it_has_closed_and_not_before(tmp_path: Path) -> None:
    chat, text_M = spoken((1, "a", "first"), (31, "a", "second"), (50, "b", "other"))
    timeline = timeline_of(chat, text_M, tmp_path)
    assert np.isnan(timeline.at(BOTH, us(30 + LATENESS)).now_ND).all()  # closed at that very time: not before it
    known = timeline.at(BOTH, us(30 + LATENESS) + 1)
    assert np.array_equal(known.now_ND[0], unit("first"))
    assert np.isnan(known.now_ND[1]).all()
    later = timeline.at(BOTH[::-1], us(60 + LATENESS) + 1)
    assert np.array_equal(later.now_ND, np.stack([unit("other"), unit("second")]))
    assert np.array_equal(timeline.at(BOTH, us(500)).now_ND, later.now_ND[::-1])  # until something else is said


def test_a_broadcast_begins_without_the_content_of_the_one_before(tmp_path: Path) -> None:
    start_s = 31 + SILENCE_US / 1e6
    chat, text_M = spoken((31, "a", "tonight"), (start_s, "a", "next day"), (0, "b", "x"))
    timeline = timeline_of(chat, text_M, tmp_path)
    before = timeline.at(BOTH, us(start_s) - 1)
    assert np.array_equal(before.now_ND[0], unit("tonight"))
    assert np.array_equal(before.mean_ND[0], vector("tonight").astype(np.float32))
    began = timeline.at(BOTH, us(start_s + 1))
    assert np.isnan(began.now_ND[0]).all()
    assert not began.mean_ND[0].any()
    assert np.array_equal(timeline.at(BOTH, us(start_s + 60)).now_ND[0], unit("next day"))


def test_the_mean_is_folded_as_a_room_folds_it(tmp_path: Path) -> None:
    chat, text_M = spoken(*((30 * k + 1, "a", f"segment {k}") for k in range(20)), (600, "b", "x"))
    timeline = timeline_of(chat, text_M, tmp_path)
    expected, phase = b"", zlib.crc32(b"a")
    for k in range(20):
        if not expected or (T0 // 30 + k + phase) % CONFIG.mean_every == 0:
            expected = updated_mean(expected, to_bytes(vector(f"segment {k}")), CONFIG.mean_alpha)
        mean_D = timeline.at(BOTH, us(30 * (k + 1) + LATENESS) + 1).mean_ND[0]
        assert to_bytes(mean_D) == expected


def test_a_title_is_mixed_in_and_stands_alone_until_chat_is_known(tmp_path: Path) -> None:
    chat, text_M = spoken((1, "a", "first"), (2, "b", "other"))
    timeline = timeline_of(chat, text_M, tmp_path, {"a": Channel("Elden Ring", "Games")})
    title_1D = vector("Elden Ring. Games")[None]
    assert timeline.at(BOTH, us(2)).now_ND[0] == pytest.approx(title_1D[0].astype(np.float32), abs=1e-3)
    assert np.isnan(timeline.at(BOTH, us(2)).now_ND[1]).all()
    mixed_D = mix(title_1D, vector("first")[None], 0.4)[0]
    assert timeline.at(BOTH, us(36)).now_ND[0] == pytest.approx(mixed_D, abs=1e-3)


def test_what_is_said_after_a_time_changes_no_content_before_it(tmp_path: Path) -> None:
    said = crowd(3, 1500, num_channels=4)
    cut_s, chat = said[900].at_s, chat_of(said, 100)
    texts = [f"word{i % 50} and {i}" for i in range(len(said))]
    changed = [text if one.at_s < cut_s else f"other {text}" for one, text in zip(said, texts, strict=True)]
    kept = [i for i, one in enumerate(said) if one.at_s < cut_s]
    shorter = chat_of([said[i] for i in kept], 100)
    whole, altered = (timeline_of(chat, pa.array(each), tmp_path) for each in (texts, changed))
    ended = timeline_of(shorter, pa.array([texts[i] for i in kept]), tmp_path)
    channels_N = np.arange(len(chat.channels))
    assert shorter.channels == chat.channels
    seen_later = False
    for at_us in range(us(0) + round((said[0].at_s - T0) * 1e6), round(said[-1].at_s * 1e6) + 100_000_000, 3_777_777):
        contents = [timeline.at(channels_N, at_us) for timeline in (whole, altered, ended)]
        same = all(
            contents[0].now_ND.tobytes() == each.now_ND.tobytes()
            and contents[0].mean_ND.tobytes() == each.mean_ND.tobytes()
            for each in contents[1:]
        )
        assert same or at_us > cut_s * 1e6
        seen_later |= not same
    assert seen_later  # otherwise the test could not fail


def test_times_of_each_channel_of_its_own_give_the_rows_of_single_lookups(tmp_path: Path) -> None:
    said = crowd(8, 1200, num_channels=4)
    chat = chat_of(said, 100)
    timeline = timeline_of(chat, pa.array([f"text {i}" for i in range(len(said))]), tmp_path)
    channels_N, at_us_N = chat.channel_M[::40].astype(np.intp), chat.at_us_M[::40]
    rows = timeline.rows(channels_N, at_us_N)
    for i, (channel, at_us) in enumerate(zip(channels_N, at_us_N.tolist(), strict=True)):
        single = timeline.at(np.array([channel]), at_us)
        assert np.array_equal(timeline.now_RD[rows.now_N[i]], single.now_ND[0].astype(np.float16), equal_nan=True)
        assert np.array_equal(timeline.mean_RD[rows.mean_N[i]], single.mean_ND[0].astype(np.float16))


def test_chat_without_a_word_has_no_content(tmp_path: Path) -> None:
    chat, text_M = spoken((0, "a", " "), (1, "b", ""))
    content = timeline_of(chat, text_M, tmp_path).at(BOTH, us(100))
    assert np.isnan(content.now_ND).all()
    assert not content.mean_ND.any()


def test_a_placebo_deals_the_same_content_to_other_rooms(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(12)]
    chat, text_M = spoken(*((i / 10, name, f"about {name}") for i, name in enumerate(names)))
    timeline = timeline_of(chat, text_M, tmp_path)
    channels_N = np.arange(len(names))
    real, dealt = timeline.at(channels_N, us(100)), ShuffledContent(timeline, 1).at(channels_N, us(100))
    assert np.array_equal(np.sort(real.now_ND, axis=0), np.sort(dealt.now_ND, axis=0))
    assert np.count_nonzero((real.now_ND == dealt.now_ND).all(axis=1)) < 4
    order_N = [int(np.flatnonzero((real.now_ND == row).all(axis=1))[0]) for row in dealt.now_ND]
    assert np.array_equal(real.mean_ND[order_N], dealt.mean_ND)
    again = ShuffledContent(timeline, 1).at(channels_N, us(100))
    assert np.array_equal(again.now_ND, dealt.now_ND)


# the cache


def block(*texts: str) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    return np.array([text_hash(text) for text in texts]), fake_vectors(texts)


def test_a_text_is_encoded_once_whoever_asks_again(tmp_path: Path) -> None:
    chat, text_M = spoken((0, "a", "same"), (31, "a", "same"), (62, "b", "other"))
    encoders = [FakeEncoder(), FakeEncoder()]
    found = [
        content_timeline(chat, text_M, {}, encoder=encoder, folder=tmp_path, progress=Silent()) for encoder in encoders
    ]
    assert sorted(encoders[0].given) == ["other", "same"]
    assert not encoders[1].given
    assert np.array_equal(found[0].now_RD, found[1].now_RD, equal_nan=True)


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    lines = [(float(30 * i), "a", f"text {i}") for i in range(2500)]
    chat, text_M = spoken(*lines, (0.5, "b", "x"))
    killed, resumed, progress = FakeEncoder(fails_after=2100), FakeEncoder(), Silent()
    with pytest.raises(KeyboardInterrupt):
        content_timeline(chat, text_M, {}, encoder=killed, folder=tmp_path, progress=Silent())
    content_timeline(chat, text_M, {}, encoder=resumed, folder=tmp_path, progress=progress)
    assert len(killed.given) == 2048
    assert len(killed.given) + len(resumed.given) == 2501
    assert not set(killed.given) & set(resumed.given)
    assert progress.told == [(0, 453), (453, 453)]


def test_vectors_of_another_encoder_are_not_taken(tmp_path: Path) -> None:
    VectorCache(tmp_path, "one/bf16/64", FAKE_DIMENSION).add(*block("text"))
    assert text_hash("text") in VectorCache(tmp_path, "one/bf16/64", FAKE_DIMENSION)
    assert not len(VectorCache(tmp_path, "one/bf16/128", FAKE_DIMENSION))


def test_vectors_of_what_was_said_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        VectorCache(tmp_path / ".tidecast" / "vectors", "one", FAKE_DIMENSION).add(*block("text"))
    finally:
        os.umask(before)
    made = [path for path in (tmp_path / ".tidecast", *(tmp_path / ".tidecast").rglob("*")) if path.is_dir()]
    assert len(made) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


@pytest.mark.parametrize("damage", ["shorter", "other", "empty", "longer"])
def test_a_damaged_block_is_counted_and_encoded_again(tmp_path: Path, damage: str) -> None:
    cache = VectorCache(tmp_path, "v", FAKE_DIMENSION)
    cache.add(*block("one", "two"))
    cache.add(*block("three"))
    victim = max((tmp_path / "v").iterdir(), key=lambda path: path.stat().st_size)
    whole = victim.read_bytes()
    damaged = {"shorter": whole[:-1], "other": whole[:-1] + b"?", "empty": b"", "longer": whole + b"x"}
    victim.write_bytes(damaged[damage])
    reread = VectorCache(tmp_path, "v", FAKE_DIMENSION)
    assert (reread.damaged, len(reread)) == (1, 1)
    reread.add(*block("one", "two"))
    again = VectorCache(tmp_path, "v", FAKE_DIMENSION)
    assert (again.damaged, len(again)) == (0, 3)
    assert np.array_equal(again.vectors(block("two")[0]), fake_vectors(["two"]))


def test_a_vector_that_is_not_of_numbers_is_none_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    poisoned = block("one", "two")
    poisoned[1][1, 0] = np.nan
    VectorCache(tmp_path, "v", FAKE_DIMENSION).add(*poisoned)
    cache = VectorCache(tmp_path, "v", FAKE_DIMENSION)
    assert (text_hash("one") in cache, text_hash("two") in cache) == (True, False)

    class Broken(FakeEncoder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
            return np.full((len(texts), FAKE_DIMENSION), np.inf, np.float16)

    encode_missing(["one", "two"], poisoned[0], Broken(), cache, Silent())
    assert np.array_equal(cache.vectors(poisoned[0]), np.stack([fake_vectors(["one"])[0], np.zeros(FAKE_DIMENSION)]))
    assert "1 texts have no vector of numbers" in caplog.text


def test_a_block_that_was_not_finished_is_no_block(tmp_path: Path) -> None:
    VectorCache(tmp_path, "v", FAKE_DIMENSION).add(*block("one"))
    (tmp_path / "v" / "abc.part-1").write_bytes(b"half")
    cache = VectorCache(tmp_path, "v", FAKE_DIMENSION)
    assert (cache.damaged, len(cache)) == (0, 1)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="give a folder"):
        VectorCache(tmp_path / "file", "v", FAKE_DIMENSION)


def test_texts_are_read_in_the_order_of_the_messages(tmp_path: Path) -> None:
    said = crowd(4, 300)
    order = np.random.default_rng(0).permutation(300)
    early = write(tmp_path / "early.parquet", [said[i] for i in order], [i // 100 for i in range(300)])
    table = pa.parquet.read_table(early)
    named = pa.array([f"{row['channel']} {row['viewer']}" for row in table.to_pylist()])
    pa.parquet.write_table(table.set_column(table.schema.get_field_index("text"), "text", named), early)
    late = write(tmp_path / "late.parquet", [Said(2e9, "c1", "v1")])
    files = [Recording.open(early)], [Recording.open(late)]
    chat = load(*files, Windows(0, 2), None)
    text_M = load_texts(*files, Windows(0, 2), None)
    assert len(text_M) == len(chat.at_us_M) == 201
    for i in range(200):
        assert text_M[i].as_py() == f"{chat.channels[chat.channel_M[i]]} {chat.viewers[chat.viewer_M[i]]}"
