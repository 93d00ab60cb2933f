"""Fine-tuning on a language model small enough for a test: what it learns, what it leaves, and that it can go on."""

from __future__ import annotations

import copy
from dataclasses import replace

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


def titled(count: int = 640) -> tuple[TextPairs, list[list[int]], list[list[int]]]:
    """The pairs of synonyms, beside each text a title: tokens of its topic that no text has, and its own number."""
    pairs, tokens = synonyms(count=count)
    titles = [[300 + topic, 400 + topic % 4, 500 + number] for number in range(2) for topic in range(TOPICS)]
    topics = pairs.left_room_P
    return (
        replace(pairs, titles=("",) * len(titles), title_P2=np.stack([topics, topics + TOPICS], axis=1)),
        tokens,
        titles,
    )


TITLED = replace(CONFIG, title_weight=0.5)


def test_planted_titles_are_told_from_chat_and_titles_dealt_to_other_rooms_are_not() -> None:
    pairs, tokens, titles = titled()
    dealt = replace(pairs, title_P2=np.random.default_rng(5).permutation(pairs.title_P2))
    last = []
    for some in (pairs, dealt):
        learner = EncoderLearner(small_model(), tokens, some, TITLED, titles=titles)
        told = [step.losses["title"] for step in learner.run()]
        last.append(float(np.mean(told[-5:])))
    # a title's two tokens count .68 and .32 and the head begins with .68 · log(16 / .68) + .32 · log(4 / .32) = 2.95
    assert told[0] == pytest.approx(2.95, abs=0.1)
    assert last[0] < 2.0
    assert last[1] > 2.5, "all that can be known of these is how frequent each is"


def test_the_loss_weighs_pairs_and_titles_as_the_paper_has_it() -> None:
    pairs, tokens, titles = titled()
    learner = EncoderLearner(small_model(), tokens, pairs, TITLED, titles=titles)
    loss, parts = learner._loss(pairs.batches(CONFIG.batch, CONFIG.seed, 0)[0])
    assert float(loss.detach()) == pytest.approx((parts["contrast"] + 0.5 * parts["title"]) / 1.5, rel=1e-6)


def test_a_weight_of_nothing_learns_to_the_bits_of_pairs_without_titles() -> None:
    pairs, tokens, titles = titled()
    plain = EncoderLearner(small_model(), tokens, synonyms()[0], CONFIG)
    weightless = EncoderLearner(small_model(), tokens, pairs, CONFIG, titles=titles)
    heavy = EncoderLearner(small_model(), tokens, pairs, TITLED, titles=titles)
    for learner in (plain, weightless, heavy):
        learned(learner, 5)
    states = [list(learner.model.state_dict().values()) for learner in (plain, weightless, heavy)]
    assert all(torch.equal(one, other) for one, other in zip(states[0], states[1], strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(states[0], states[2], strict=True))
    assert weightless.state().keys() == plain.state().keys()


def test_a_run_with_titles_continued_from_a_state_equals_one_that_was_not_stopped() -> None:
    pairs, tokens, titles = titled()
    whole, first, second = (EncoderLearner(small_model(), tokens, pairs, TITLED, titles=titles) for _ in range(3))
    learned(whole)
    learned(first, 30)
    second.restore(copy.deepcopy(first.state()))
    learned(second)
    assert second.step == whole.step
    for one, other in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    head, other_head = (learner.state()["titles"]["layer"] for learner in (whole, second))
    assert torch.equal(head["weight"], other_head["weight"])


@pytest.mark.parametrize("count", [0, TOPICS])
def test_a_state_without_the_head_or_with_another_is_refused(count: int) -> None:
    pairs, tokens, titles = titled()
    none = replace(pairs, title_P2=np.full_like(pairs.title_P2, -1))
    state = EncoderLearner(small_model(), tokens, none, TITLED, titles=[[7], [7], [8]][:count]).state()
    learner = EncoderLearner(small_model(), tokens, pairs, TITLED, titles=titles)
    with pytest.raises(TrainingError, match="not of this language model"):
        learner.restore(state)


class Together:
    """Averages with what the other process has just found, as a group of two would."""

    def __init__(self) -> None:
        self.averaged: list[nn.Module] = []

    def average_gradients(self, model: nn.Module) -> None:
        self.averaged.append(model)

    def broadcast(self, model: nn.Module) -> None: ...


def test_processes_average_the_gradients_of_the_head_too_also_where_one_has_no_title_in_its_batch() -> None:
    pairs, tokens, titles = titled()
    none = replace(pairs, title_P2=np.full_like(pairs.title_P2, -1))
    for some in (pairs, none):
        group = Together()
        learner = EncoderLearner(small_model(), tokens, some, TITLED, titles=titles, processes=2, group=group)
        next(learner.run())
        assert [type(one) for one in group.averaged] == [BertModel, nn.Linear]
