"""The cache of vectors: what is encoded once, what survives a kill, and what damage does."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.errors import ConfigError
from streaming.room.text import text_hash
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION, fake_vectors
from training.content.encode_missing import encode_missing
from training.content.vector_cache import VectorCache


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


def block(*texts: str) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    return np.array([text_hash(text) for text in texts]), fake_vectors(texts)


def encoded(texts: Sequence[str], encoder: FakeEncoder, folder: Path, progress: Silent) -> NDArray[np.float16]:
    cache, hash_S = VectorCache(folder, FAKE_VERSION, FAKE_DIMENSION), np.array([text_hash(text) for text in texts])
    encode_missing(texts, hash_S, encoder, cache, progress)
    return cache.vectors(hash_S)


def test_a_text_is_encoded_once_whoever_asks_again(tmp_path: Path) -> None:
    encoders = [FakeEncoder(), FakeEncoder()]
    found = [encoded(["same", "same", "other"], encoder, tmp_path, Silent()) for encoder in encoders]
    assert sorted(encoders[0].given) == ["other", "same"]
    assert not encoders[1].given
    assert np.array_equal(found[0], found[1])


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(2501)]
    killed, resumed, progress = FakeEncoder(fails_after=2100), FakeEncoder(), Silent()
    with pytest.raises(KeyboardInterrupt):
        encoded(texts, killed, tmp_path, Silent())
    encoded(texts, resumed, tmp_path, progress)
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
