"""The encoder's promises: the same text gives the same bytes, close texts give close vectors."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from streaming.errors import ConfigError, EncoderError
from training.content.language_model import folder_of
from training.content.text_encoder import LazyTextEncoder, TextEncoder
from training.settings import EncoderConfig

WORDS = ["gg", "lol", "boss", "dragon", "recipe", "onion", "guitar", "chord", "speedrun", "lag", "clutch", "paint"]


@pytest.fixture(scope="module")
def encoder() -> Iterator[TextEncoder]:
    threads = torch.get_num_threads()
    yield TextEncoder(EncoderConfig())
    torch.set_num_threads(threads)


def texts_of_many_lengths(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 70))) for _ in range(count)]


def uncached(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    encoder._cache.clear()
    return encoder.encode(texts)


def test_text_has_the_same_bytes_alone_and_in_any_company(encoder: TextEncoder) -> None:
    texts = texts_of_many_lengths(1, 64)
    together = uncached(encoder, texts)
    order = list(range(64))
    random.Random(2).shuffle(order)
    shuffled = uncached(encoder, [texts[i] for i in order])
    assert all(shuffled[at].tobytes() == together[i].tobytes() for at, i in enumerate(order))
    for i in range(0, 64, 5):
        assert uncached(encoder, [texts[i]])[0].tobytes() == together[i].tobytes()


def test_vectors_are_float16_of_unit_length(encoder: TextEncoder) -> None:
    vectors = encoder.encode(texts_of_many_lengths(3, 8))
    assert vectors.dtype == np.float16
    assert vectors.shape == (8, encoder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=2e-3)


def test_similar_texts_are_closer_than_dissimilar_ones(encoder: TextEncoder) -> None:
    cook, cook2, chess = encoder.encode(
        [
            "chop the onions and simmer the tomato sauce",
            "the pasta sauce needs more garlic and salt",
            "he sacrificed the queen for a mating attack",
        ]
    ).astype(np.float32)
    assert cook @ cook2 > cook @ chess + 0.2


def test_text_without_words_has_the_zero_vector(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["", " \n\t", "hello"])
    assert not vectors[:2].any()
    assert vectors[2].any()


def test_no_texts_give_no_vectors(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_known_text_is_not_encoded_again(encoder: TextEncoder) -> None:
    encoder.encode(["a text seen before"])
    hits = encoder.cache_hits
    encoder.encode(["a text seen before"])
    assert encoder.cache_hits == hits + 1


def test_cache_is_bounded() -> None:
    encoder = TextEncoder(EncoderConfig(cached_texts=10))
    encoder.encode(texts_of_many_lengths(4, 30))
    assert len(encoder._cache) <= 10


@pytest.mark.parametrize("text", ["\x00\x01\x02", "\ud800 lone surrogate", "😂" * 5_000, "x" * 1_000_000])
def test_odd_text_is_encoded(encoder: TextEncoder, text: str) -> None:
    assert np.isfinite(encoder.encode([text])).all()


def test_version_names_model_precision_and_length(encoder: TextEncoder) -> None:
    name, precision, tokens = encoder.version.split("/")
    assert (name, tokens) == ("all-minilm-l6-v2", "64")
    assert precision in ("bf16", "fp32")


def test_what_is_put_before_texts_is_part_of_the_version_and_questions_have_their_own(encoder: TextEncoder) -> None:
    other = TextEncoder(EncoderConfig(prefix="live: ", query_prefix="asked: "))
    assert other.version.startswith("all-minilm-l6-v2+")
    assert other.version == LazyTextEncoder(EncoderConfig(prefix="live: ")).version
    assert other.version != LazyTextEncoder(EncoderConfig(prefix="live:")).version
    assert (other.as_passage("gg"), other.as_query("gg"), other.as_passage(" ")) == ("live: gg", "asked: gg", " ")
    assert other.encode(["gg"]).tobytes() == encoder.encode(["live: gg"]).tobytes()
    assert TextEncoder(EncoderConfig(model="minilm")).version == encoder.version


def test_a_folders_version_is_that_of_its_files_wherever_it_lies(tmp_path: Path) -> None:
    one, copy, other = (tmp_path / place / "Ours" for place in ("one", "copy", "other"))
    for folder in (one, copy, other):
        shutil.copytree(folder_of("minilm"), folder)
    with (other / "config.json").open("a") as config:
        config.write("\n")
    versions = [
        LazyTextEncoder(EncoderConfig(model=str(folder), precision="fp32")).version for folder in (one, copy, other)
    ]
    assert versions[0] == versions[1] != versions[2]
    assert all(version.startswith("ours@") for version in versions)


def test_of_a_folder_that_keeps_its_first_dimensions_vectors_are_these_and_of_unit_length(
    encoder: TextEncoder, tmp_path: Path
) -> None:
    shutil.copytree(folder_of("minilm"), tmp_path / "short")
    (tmp_path / "short" / "tidecast.json").write_text('{"dimensions": 128}')
    config, texts = EncoderConfig(model=str(tmp_path / "short")), ["gg well played", "", "chop the onions"]
    short, lazy = TextEncoder(config), LazyTextEncoder(config)
    vectors_ND = short.encode(texts).astype(np.float32)
    first_ND = encoder.encode(texts).astype(np.float32)[:, :128]
    length_N = np.linalg.norm(first_ND, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors_ND, first_ND / np.maximum(length_N, 1e-9), atol=1e-3)
    assert (short.dimension, lazy.dimension, lazy.version) == (128, 128, short.version)
    (tmp_path / "short" / "tidecast.json").write_text('{"dimensions": 129}')
    assert LazyTextEncoder(config).version != short.version


@pytest.mark.parametrize("read", [TextEncoder, LazyTextEncoder])
@pytest.mark.parametrize(
    ("dimensions", "said"), [(385, "of 384 dimensions the first 385 cannot be kept"), (0, "cannot be read")]
)
def test_more_dimensions_than_there_are_are_refused(
    tmp_path: Path, dimensions: int, said: str, read: type[TextEncoder]
) -> None:
    shutil.copytree(folder_of("minilm"), tmp_path / "short")
    (tmp_path / "short" / "tidecast.json").write_text(f'{{"dimensions": {dimensions}}}')
    with pytest.raises(EncoderError, match=said):
        read(EncoderConfig(model=str(tmp_path / "short")))


def test_rate_is_measured(encoder: TextEncoder) -> None:
    assert encoder.texts_per_s > 0


def test_folder_without_a_model_is_said_clearly(tmp_path: object) -> None:
    with pytest.raises(EncoderError, match="does not load"):
        TextEncoder(EncoderConfig(model=str(tmp_path)))


@pytest.mark.parametrize("misspelt", ["multilingual-e5", "MiniLM", "mini-lm"])
def test_a_misspelt_short_name_is_said_at_once(misspelt: str) -> None:
    with pytest.raises(EncoderError, match=r"no short name: is (minilm|multilingual-e5-small) meant"):
        TextEncoder(EncoderConfig(model=misspelt))


def test_an_encoder_is_named_before_its_model_is_loaded_and_loads_at_the_first_text(encoder: TextEncoder) -> None:
    lazy = LazyTextEncoder(EncoderConfig())
    assert (lazy.version, lazy.dimension, lazy._loaded) == (encoder.version, encoder.dimension, None)
    assert lazy.encode(["gg"]).tobytes() == encoder.encode(["gg"]).tobytes()


def test_a_folder_without_a_model_is_said_before_the_first_text(tmp_path: object) -> None:
    with pytest.raises(EncoderError, match="does not load"):
        LazyTextEncoder(EncoderConfig(model=str(tmp_path)))


@pytest.mark.parametrize("wrong", [{"max_tokens": 4}, {"threads": 0}, {"batch_rows": 0}, {"precision": "int4"}])
def test_wrong_config_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="encoder"):
        EncoderConfig(**wrong)  # type: ignore[arg-type]
