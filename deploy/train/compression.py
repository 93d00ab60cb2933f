"""Compression of a language model, from chat to a folder. Never decides what goes, never learns itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.config.settings import Settings
from deploy.train.run import TrainingProgress, WriteExamples
from streaming.errors import ConfigError, TrainingError
from training.compression.compressor import Compressed, check_size, compress, least_texts
from training.compression.distiller import DistillConfig, DistillStep
from training.compression.structure import Point, Size, size_at, size_of
from training.content.encode_missing import encode_missing
from training.content.language_model import OwnSettings, find, load
from training.content.text_encoder import TextEncoder, uses_bf16, utf8
from training.content.vector_cache import VectorCache
from training.examples.dataset import ExampleTexts
from training.examples.schema import ExamplesConfig
from training.fine_tuning.model_folder import write_model
from training.fine_tuning.text_vectors import TextVectors
from training.fit.run import VECTORS, give_way

REPORT_S = 1.0


@dataclass(frozen=True, slots=True)
class CompressionPlan:
    """Which language model becomes how small, and where. layers, units: None: as the point has them.

    model: as encoder.model. texts: how many distinct ones at most. dimensions: of a vector, that are kept; None: all.
    """

    model: str
    out: Path
    point: Point
    layers: int | None
    units: int | None
    dimensions: int | None
    texts: int
    distill: DistillConfig


@dataclass(frozen=True, slots=True)
class WrittenModel:
    """A compressed model in its folder. name: its part of an encoder version."""

    folder: Path
    name: str
    texts: int
    dimension: int
    compressed: Compressed


def compress_encoder(
    settings: Settings, plan: CompressionPlan, write_examples: WriteExamples, progress: TrainingProgress
) -> WrittenModel:
    """Compresses a language model on the texts of examples, and writes its folder whole or not at all.

    The teacher's vectors are kept in training.folder/vectors. Raises ConfigError, EncoderError, TrainingError.
    """
    config = settings.training.below(Path.cwd())
    encoder = replace(settings.encoder, model=plan.model)
    give_way(config.niceness)
    device = "cuda" if config.gpu else "cpu"
    if config.gpu and not torch.cuda.is_available():
        raise TrainingError("training.gpu is on, but torch finds no GPU")
    progress.began("loading the language model")
    found = find(encoder)
    tokenizer, model, last_token = load(found.location, torch.float32, device)
    if last_token:
        raise ConfigError(
            f'"{plan.model}" is a causal language model; only encoders are compressed: the smaller model is made of '
            "the larger one's own layers, and only of BERT's kind is it known which can go"
        )
    whole = size_of(model)
    aim = size_at(plan.point, whole)
    size = Size(plan.layers or aim.layers, plan.units or aim.units)
    check_size(whole, size, found.dimension(int(model.config.hidden_size)), plan.dimensions)
    progress.began("reading what was said")
    examples = ExamplesConfig(share=config.share, seed=config.seed)
    with _unfinished(plan.out) as folder:
        texts = write_examples(folder / "examples", examples, progress).texts()
    rows = sampled(texts, plan.texts, plan.distill.seed)
    if len(rows) < least_texts(plan.distill):
        raise TrainingError(
            f"{len(rows)} texts to compress the language model with; at least {least_texts(plan.distill)} are needed: "
            "give more chat, or a greater training.share"
        )
    chosen, hash_N = [texts.texts[row] for row in rows], texts.hash_K[rows]
    progress.began(f"encoding {len(chosen):,} texts with {plan.model}, as far as no run did before")
    teacher = TextEncoder(encoder)
    cache = VectorCache(Path(config.folder) / VECTORS, teacher.version, teacher.dimension)
    encode_missing(chosen, hash_N, teacher, cache, progress)
    torch.set_num_threads(config.threads)
    passages = [found.prefix + utf8(text) for text in chosen]
    student = TextVectors(
        model,
        tokenizer(passages, truncation=True, max_length=encoder.max_tokens - 1)["input_ids"],
        pad_id=tokenizer.pad_token_id or 0,
        bf16=uses_bf16(encoder.precision, device),
    )
    progress.began("measuring what each layer does")
    compressed = compress(
        student,
        cache.vectors(hash_N),
        size,
        plan.distill,
        dimensions=plan.dimensions,
        progress=_Reported(progress),
    )
    own = OwnSettings(found.prefix, found.query_prefix, last_token, plan.dimensions or found.dimensions)
    place = write_model(model, tokenizer, own, plan.out)
    written = find(replace(encoder, model=str(place), prefix="", query_prefix=""))
    dimension = written.dimension(int(model.config.hidden_size))
    return WrittenModel(place, written.name, len(chosen), dimension, compressed)


def sampled(texts: ExampleTexts, most: int, seed: int) -> NDArray[np.intp]:
    """The places of at most so many distinct texts that say something, in random order."""
    _, first = np.unique(texts.hash_K, return_index=True)
    told = np.array([place for place in first.tolist() if texts.texts[place].strip()], np.intp)
    return np.random.default_rng(seed).permutation(told)[:most]


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """A folder beside the result for what is needed meanwhile. Raises ConfigError: there can be none."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f"{out.name}.part-", dir=out.parent)
    except OSError as err:
        raise ConfigError(f"--out {out}: {err.strerror}; give a folder that can be written") from err
    with folder as name:
        yield Path(name)


class _Reported:
    """Reports steps of distillation to a follower of learning, now and then."""

    def __init__(self, progress: TrainingProgress) -> None:
        self._progress = progress
        self._stage, self._began_s, self._said_s, self._texts = "", 0.0, 0.0, 0

    def __call__(self, stage: str, step: DistillStep, steps: int) -> None:
        now_s = time.monotonic()
        if stage != self._stage:
            self._stage, self._began_s, self._texts = stage, now_s, 0
        self._texts += step.examples
        if now_s - self._said_s < REPORT_S and step.step < steps:
            return
        self._said_s, took_s = now_s, max(now_s - self._began_s, 1e-3)
        said: dict[str, Any] = {
            "step": step.step,
            "steps": steps,
            "phase": stage,
            "losses": step.losses,
            "unit": "texts",
            "per_s": self._texts / took_s,
            "left_s": took_s / step.step * (steps - step.step),
        }
        self._progress.learned(said)
