"""Fine-tuning on a language model small enough for a test: what it learns, what it leaves, and that it can go on."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from streaming.errors import ConfigError, TrainingError
from training.fine_tuning.encoder_learner import EncoderLearnConfig, EncoderLearner, NotFinite
from training.fine_tuning.text_pairs import PairKind, TextPairs

TOPICS, WORDS = 16, 4  # words of a topic in each of two languages
CONFIG = EncoderLearnConfig(layers=2, epochs=8, batch=32, rate=5e-3, temperature=0.1)


def small_model(layers: int = 3) -> nn.Module:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=2 * TOPICS * WORDS + 10,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    model: nn.Module = BertModel(config, add_pooling_layer=False)
    return model


def synonyms(seed: int = 3, count: int = 640) -> tuple[TextPairs, list[list[int]]]:
    """Pairs of rooms about one topic in two languages that have no word in common."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, TOPICS, count)
    tokens = [
        (10 + (language * TOPICS + topic) * WORDS + rng.integers(0, WORDS, 5)).tolist()
        for topic in topics.tolist()
        for language in (0, 1)
    ]
    rows = np.arange(count, dtype=np.int32)
    pairs = TextPairs(
        texts=("",) * (2 * count),
        left_P=2 * rows,
        right_P=2 * rows + 1,
        left_room_P=topics.astype(np.int32),
        right_room_P=topics.astype(np.int32),
        at_P=rows.astype(np.int64),
        kind_P=np.full(count, PairKind.COVISIT, np.int8),
    )
    return pairs, tokens


def found(model: nn.Module, *, last_token: bool = False) -> float:
    """The share of texts in one language whose nearest in the other is of the same topic; texts not learned from."""
    pairs, tokens = synonyms(seed=4, count=160)
    judge = EncoderLearner(copy.deepcopy(model), tokens, pairs, CONFIG, last_token=last_token)
    judge.model.eval()
    with torch.no_grad():
        left, right = judge.vectors(pairs.left_P.tolist()), judge.vectors(pairs.right_P.tolist())
    topics = pairs.left_room_P
    return float(np.mean(topics[(left @ right.T).argmax(1).numpy()] == topics))


def learned(learner: EncoderLearner, steps: int = 10_000) -> list[float]:
    losses = []
    for step in learner.run():
        losses.append(step.losses["contrast"])
        if step.step >= steps:
            break
    return losses


def test_planted_synonyms_of_two_languages_are_found_once_it_has_learned() -> None:
    model = small_model()
    before = found(model)
    losses = learned(EncoderLearner(model, synonyms()[1], synonyms()[0], CONFIG))
    assert before < 0.3
    assert found(model) > 0.8
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_a_causal_model_learns_by_the_state_of_its_last_token() -> None:
    torch.manual_seed(1)
    model: nn.Module = LlamaModel(
        LlamaConfig(
            vocab_size=2 * TOPICS * WORDS + 10,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=64,
            max_position_embeddings=16,
        )
    )
    before, state = found(model, last_token=True), copy.deepcopy(model.state_dict())
    learned(EncoderLearner(model, synonyms()[1], synonyms()[0], CONFIG, last_token=True))
    assert before < 0.3
    assert found(model, last_token=True) > 0.8
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, state[name])}
    assert changed
    assert all(name.startswith(("layers.1", "layers.2")) for name in changed)


def test_nothing_is_learned_from_pairs_dealt_anew() -> None:
    pairs, tokens = synonyms()
    dealt = TextPairs(
        pairs.texts,
        pairs.left_P,
        np.random.default_rng(5).permutation(pairs.right_P),
        pairs.left_room_P,
        pairs.right_room_P,
        pairs.at_P,
        pairs.kind_P,
    )
    model = small_model()
    learned(EncoderLearner(model, tokens, dealt, CONFIG))
    assert found(model) < 0.4


def test_only_the_last_layers_change() -> None:
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    learned(EncoderLearner(model, synonyms()[1], synonyms()[0], CONFIG), 3)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("encoder.layer.1", "encoder.layer.2")) for name in changed)
    learning = {name for name, value in model.named_parameters() if value.requires_grad}
    assert learning == {name for name in before if name.startswith(("encoder.layer.1", "encoder.layer.2"))}, (
        "of others no gradient is computed"
    )


def test_a_run_continued_from_a_state_equals_one_that_was_not_stopped() -> None:
    pairs, tokens = synonyms()
    whole, first = (EncoderLearner(small_model(), tokens, pairs, CONFIG) for _ in range(2))
    learned(whole)
    learned(first, 30)
    state = copy.deepcopy(first.state())
    second = EncoderLearner(small_model(), tokens, pairs, CONFIG)
    second.restore(state)
    learned(second)
    assert second.step == whole.step == whole.steps
    for one, other in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_state_of_another_model_is_refused() -> None:
    pairs, tokens = synonyms()
    state = EncoderLearner(small_model(), tokens, pairs, CONFIG).state()
    other = EncoderLearner(small_model(), tokens, pairs, EncoderLearnConfig(layers=3, batch=32))
    with pytest.raises(TrainingError, match="not of this language model"):
        other.restore(state)


def test_processes_learn_from_different_pairs_and_together_from_all() -> None:
    pairs, tokens = synonyms()
    shares = [EncoderLearner(small_model(), tokens, pairs, CONFIG, rank=rank, processes=2) for rank in range(2)]
    assert [share.steps for share in shares] == [8 * 10, 8 * 10]
    read: list[set[int]] = []
    for share in shares:
        rows: set[int] = set()
        vectors = share.vectors
        share.vectors = lambda some, rows=rows, vectors=vectors: (rows.update(some), vectors(some))[1]  # type: ignore[method-assign]
        learned(share, 10)
        read.append(rows)
    assert read[0].isdisjoint(read[1])
    assert len(read[0] | read[1]) == len(tokens), "a pass of both is a pass over all pairs"


@pytest.mark.parametrize(("layers", "count", "error"), [(4, 320, ConfigError), (2, 0, TrainingError)])
def test_too_many_layers_and_too_few_pairs_are_refused(layers: int, count: int, error: type[Exception]) -> None:
    pairs, tokens = synonyms(count=count)
    with pytest.raises(error):
        EncoderLearner(small_model(), tokens, pairs, EncoderLearnConfig(layers=layers))


@pytest.mark.parametrize("side", [0, 1])
def test_near_duplicates_are_no_negatives_whichever_side_they_are_on(side: int) -> None:
    """Two pairs of which one side is the same words: nothing is left to tell apart."""
    rows = np.array([0, 1], np.int32), np.array([2, 3], np.int32)
    pairs = TextPairs(("",) * 4, *rows, *rows, np.arange(2), np.zeros(2, np.int8))
    tokens = [[11, 12], [21, 22], [31, 32], [41, 42]]
    learner = EncoderLearner(small_model(), tokens, pairs, EncoderLearnConfig(batch=2, duplicate=1.0))
    apart = next(learner.run()).losses["contrast"]
    tokens[2 * side + 1] = tokens[2 * side]
    learner = EncoderLearner(small_model(), tokens, pairs, EncoderLearnConfig(batch=2, duplicate=0.9999))
    assert apart > 0.01
    assert next(learner.run()).losses["contrast"] == pytest.approx(0.0, abs=1e-6)


def test_a_gradient_that_is_no_number_changes_nothing() -> None:
    pairs, tokens = synonyms()
    model = small_model()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    before = copy.deepcopy(model.state_dict())
    learner = EncoderLearner(model, tokens, pairs, CONFIG)
    with pytest.raises(NotFinite, match="step 1 "):
        next(learner.run())
    assert learner.step == 0
    assert all(torch.equal(value.nan_to_num(), before[name].nan_to_num()) for name, value in model.state_dict().items())


def test_a_text_without_tokens_has_a_vector() -> None:
    pairs, tokens = synonyms()
    tokens[0] = []
    with torch.no_grad():
        assert EncoderLearner(small_model(), tokens, pairs, CONFIG).vectors([0, 1]).isfinite().all()
