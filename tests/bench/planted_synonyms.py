"""Whether fine-tuning learns what viewers show: that two words in two languages mean one topic.

    python -m tests.bench.planted_synonyms [--model NAME|FOLDER] [--pairs N] [--epochs N] [--layers N] [--rate R]
                                            [--json]

Simulated viewers visit rooms about one topic in English and in another language, so the chat of two such rooms is a
pair. The chat in the other language has no English word about the topic, only the topic's name. Half of the simulator's
80 topics are visited so, the others are not. Then each topic's name in each language is looked for among the 80 English
names, as tests.bench.languages does. `frozen` is the encoder as it is; `placebo` was fine-tuned on the same texts, with
the rooms of other topics dealt to each other. A gain on topics that nobody visited is what carries over; a gain on
those visited, above the placebo's, is what the visits have taught.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streaming.simulated.phrases import LANGUAGES, Phrasebook, SpokenTopic, load_categories
from tests.bench.languages import wilson
from training.content.language_model import OwnSettings, find, load
from training.content.text_encoder import TextEncoder, uses_bf16
from training.fine_tuning.encoder_learner import EncoderLearnConfig, EncoderLearner
from training.fine_tuning.model_folder import write_model
from training.fine_tuning.text_pairs import PairKind, TextPairs
from training.settings import EncoderConfig

LINES = 10  # of chat in a text
SEED = 7


def planted(topics: Sequence[SpokenTopic], visited: Sequence[int], count: int, *, dealt_anew: bool) -> TextPairs:
    """Pairs of chat in English and in another language about a topic that was visited; rooms are topics."""
    rng, books = random.Random(SEED), [Phrasebook(topics, SEED)]
    for language in LANGUAGES[1:]:
        named = [replace(topic, words=(topic.names[language],) * 2) for topic in topics]
        books.append(Phrasebook(named, SEED))

    def chat(topic: int, language: int) -> str:
        return " ".join(rng.sample(books[language].pool(topic, language), LINES))

    chosen = [(rng.choice(visited), rng.randrange(1, len(LANGUAGES))) for _ in range(count)]
    texts = [text for topic, language in chosen for text in (chat(topic, 0), chat(topic, language))]
    left_P, right_P = np.arange(0, 2 * count, 2, dtype=np.int32), np.arange(1, 2 * count, 2, dtype=np.int32)
    room_P = np.array([topic for topic, _ in chosen], np.int32)
    order_P = np.random.default_rng(SEED).permutation(count) if dealt_anew else np.arange(count)
    return TextPairs(
        texts=tuple(texts),
        left_P=left_P,
        right_P=right_P[order_P],
        left_room_P=room_P,
        right_room_P=room_P[order_P],
        at_P=np.arange(count, dtype=np.int64),
        kind_P=np.full(count, PairKind.COVISIT, np.int8),
    )


def fine_tuned(config: EncoderConfig, pairs: TextPairs, learn: EncoderLearnConfig, folder: Path) -> EncoderConfig:
    """The encoder after fine-tuning, on one thread."""
    torch.set_num_threads(1)
    found = find(config)
    tokenizer, model, last_token = load(found.location, torch.float32, "cpu")
    texts = [found.prefix + text for text in pairs.texts]
    tokens = tokenizer(texts, truncation=True, max_length=config.max_tokens - 1)["input_ids"]
    bf16 = uses_bf16(config.precision, "cpu")
    learner = EncoderLearner(model, tokens, pairs, learn, last_token=last_token, bf16=bf16)
    for step in learner.run():
        if step.step % 20 == 0 or step.step == learner.steps:
            print(f"step {step.step} of {learner.steps}: {step.losses}", file=sys.stderr, flush=True)
    write_model(model, tokenizer, OwnSettings(found.prefix, found.query_prefix), folder)
    return EncoderConfig(model=str(folder))


def names_found(config: EncoderConfig, topics: Sequence[SpokenTopic], asked: Sequence[int]) -> list[float]:
    """The share of these topics' names in seven languages that find the English one of 80, with its interval."""
    encoder = TextEncoder(config)
    english_ND = encoder.encode([topic.name for topic in topics]).astype(np.float32)
    pairs = [(number, name) for number in asked for name in topics[number].names.values()]
    queries_QD = encoder.encode_prefixed([encoder.as_query(name) for _, name in pairs]).astype(np.float32)
    nearest_Q = (queries_QD @ english_ND.T).argmax(axis=1)
    return wilson(int((nearest_Q == np.array([number for number, _ in pairs])).sum()), len(pairs))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line each for the frozen encoder, the fine-tuned one and the placebo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--pairs", type=int, default=2_048)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--layers", type=int, default=EncoderLearnConfig().layers)
    parser.add_argument("--rate", type=float, default=EncoderLearnConfig().rate)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    topics = [topic for category in load_categories() for topic in category.topics]
    visited, others = range(0, len(topics), 2), range(1, len(topics), 2)
    frozen = EncoderConfig(model=given.model)
    learn = EncoderLearnConfig(layers=given.layers, epochs=given.epochs, rate=given.rate, seed=SEED)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("frozen", "fine-tuned", "placebo"):
            config = frozen
            if name != "frozen":
                pairs = planted(topics, visited, given.pairs, dealt_anew=name == "placebo")
                config = fine_tuned(frozen, pairs, learn, Path(folder) / name)
            result[name] = {
                "visited": names_found(config, topics, visited),
                "not visited": names_found(config, topics, others),
            }
            if not given.json:
                said = "; ".join(f"{of} {one[0]:.3f} [{one[1]:.3f}, {one[2]:.3f}]" for of, one in result[name].items())
                print(f"{name}: {said}", flush=True)
    if given.json:
        json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
