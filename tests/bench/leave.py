"""Tests of whether the ranker learns who leaves a room at once, on the simulated platform. Never starts a broker.

Viewers are bored by rooms about nothing that they like (`bored_share`), and leave them within 10 s; some visits to any
room are as short. Examples are made of the platform's events as of an archive's. A version learns from the older
visits. On the newest, which it has not seen, the head `leave` is compared with the prior, the share of the visits that
it learned from: by AUC, and by log loss. Viewers are resampled for the intervals. Content vectors are sums of random
vectors of the words, in place of the encoder's: so no language model is needed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from training.examples.candidate_batches import ContentRules
from training.examples.event_stream import StreamRecord
from training.examples.generator import ExamplePass
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_examples
from training.fit.export import Origin
from training.fit.head_quality import auc, auc_interval, resampled
from training.fit.learner import Learner
from training.fit.local_fit import new_model, of_heads, rank_all
from training.fit.run import EXAMPLES, fit_config
from training.fit.run_folder import write_run_folder
from training.model.model import Model
from training.settings import TrainingConfig

START_MS = 1_700_000_000_000
D_CONTENT = 64
SEED = 7


class Unreported:
    """A receiver of progress that says nothing."""

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        """Says nothing."""


def records(platform: Platform, minutes: int) -> Iterator[StreamRecord]:
    """The platform's events as they would lie in an archive."""
    for offset, event in enumerate(platform.events(START_MS, START_MS + minutes * 60_000)):
        yield StreamRecord(event.at_ms, event.topic, offset, event.record)


def content(texts: tuple[str, ...]) -> NDArray[np.float16]:
    """Vectors of unit length of the texts, float16 [K, D]: sums of a random vector for each word."""
    words: dict[str, NDArray[np.float64]] = {}
    vectors_KD = np.zeros((len(texts), D_CONTENT))
    for place, text in enumerate(texts):
        for word in text.lower().split():
            if word not in words:
                words[word] = np.random.default_rng(zlib.crc32(word.encode())).normal(size=D_CONTENT)
            vectors_KD[place] += words[word]
    length_K1 = np.linalg.norm(vectors_KD, axis=1, keepdims=True)
    return (vectors_KD / np.maximum(length_K1, 1e-9)).astype(np.float16)


def learn(folder: Path, config: SimulationConfig, minutes: int) -> dict[str, float | list[float]]:
    """The figures of a version that has learned from some minutes of a platform."""
    passing = ExamplePass(ExamplesConfig(), chat_alone=False)
    examples = write_examples(records(Platform(config), minutes), passing, folder / EXAMPLES, Unreported())
    fit = fit_config(TrainingConfig(), D_CONTENT, len(examples))
    run = write_run_folder(
        folder,
        examples,
        content(examples.texts().texts),
        fit,
        origin=Origin("m1", "words", max(examples.span_ms), START_MS),
        rules=ContentRules(0.4, 0.1),
    )
    sets = run.candidate_sets(0, 1)
    until = int(np.searchsorted(sets.at_ms_V, run.plan.until_ms))
    model: Model = new_model(sets, fit, len(run.plan.streamers))
    for _ in Learner(model, sets, fit.learn, until=until).run():
        pass
    unseen = np.arange(until, len(sets))
    logit_V, left_V = of_heads(rank_all(model, sets, unseen, fit.learn))["leave"]
    known_V = np.isfinite(left_V)
    logit_K, left_K = logit_V[known_V].astype(np.float64), left_V[known_V] > 0
    viewer_K = sets.viewer_V[unseen][known_V]
    prior = float(np.nanmean(sets.left_V[:until]))
    gain_K = np.logaddexp(0, np.where(left_K, -np.log(prior / (1 - prior)), np.log(prior / (1 - prior))))
    gain_K -= np.logaddexp(0, np.where(left_K, -logit_K, logit_K))
    probability_K = 1 / (1 + np.exp(-logit_K))
    return {
        "visits": len(sets),
        "known": int(np.isfinite(sets.left_V).sum()),
        "prior": prior,
        "judged": len(left_K),
        "left": float(left_K.mean()),
        "said": float(probability_K.mean()),
        "auc": auc(logit_K, left_K),
        "auc_95": list(auc_interval(logit_K, left_K, viewer_K, SEED)),
        "log_loss_gain": float(gain_K.mean()),
        "log_loss_gain_95": list(resampled(viewer_K, SEED, lambda chosen: float(gain_K[chosen].mean()))),
    }


def main() -> None:
    """Prints the figures with viewers who are bored, and without, where there is nothing to learn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=40)
    parser.add_argument("--viewers", type=int, default=700)
    parser.add_argument("--rooms", type=int, default=40)
    parser.add_argument("--bored-share", type=float, nargs="*", default=[0.7, 0.0])
    parser.add_argument("--seed", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for share in asked.bored_share:
        config = SimulationConfig(
            seed=asked.seed,
            rooms=asked.rooms,
            viewers=asked.viewers,
            visit_s=60,
            categories=8,
            noise_share=0.3,
            chat_per_room_s=0.1,
            bored_share=share,
            talking_share=0.0,
        )
        with tempfile.TemporaryDirectory() as folder:
            figures = learn(Path(folder), config, asked.minutes)
        print(json.dumps({"bored_share": share, **figures}))


if __name__ == "__main__":
    main()
