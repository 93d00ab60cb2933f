"""Language models small enough for a test, and texts of words for them. Never asserts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import BertConfig, BertModel

from training.compression.importance import vectors_of
from training.fine_tuning.text_vectors import TextVectors

WORDS, HIDDEN, UNITS = 60, 32, 48


def small_model(layers: int = 4, seed: int = 1) -> nn.Module:
    """A model whose layers all do something."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=UNITS,
        max_position_embeddings=16,
        initializer_range=0.2,
    )
    model: nn.Module = BertModel(config, add_pooling_layer=False)
    return model.eval()


def tokens(count: int, seed: int = 2) -> list[list[int]]:
    """Texts of 2 to 8 words."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1, WORDS, rng.integers(2, 9)).tolist() for _ in range(count)]


def read_by(model: nn.Module, count: int) -> TextVectors:
    """The first so many texts."""
    return TextVectors(model, tokens(count))


def taught_by(model: nn.Module, count: int) -> NDArray[np.float16]:
    """A model's unit vectors of the first so many texts."""
    return vectors_of(read_by(model, count), range(count)).numpy().astype(np.float16)
