"""Versions of the models that have learned nothing, in the shape and size of those that have. Never a good one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from training.examples.co_visit_counts import TransitionCounts
from training.fit.export import Origin, export_bundle
from training.fit.learner import LearnConfig
from training.model.config import EXTRA, RANKED, LarmConfig, ModelConfig
from training.model.model import Model
from training.model.semantic_codes import Codebooks
from training.registry.bundle import Bundle


def untrained(
    version: str, streamers: Sequence[str], encoder_version: str, d_content: int = 384, *, leaves: bool = True
) -> Bundle:
    """A version with random weights, the same for the same name. leaves: it has a head for leaving."""
    seed = sum(version.encode())
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    config = ModelConfig(larm=LarmConfig(d_content=d_content))
    knots_Q = np.linspace(0, 100, config.ranker.bins + 1, dtype=np.float32)
    knots_FQ = np.tile(knots_Q, (len(RANKED) + len(EXTRA), 1))
    model = Model(config, len(streamers), knots_FQ)
    codes = (config.codes.levels, config.codes.size, config.larm.d_model)
    centroids_LKE: NDArray[np.float32] = rng.normal(0, 0.125, codes).astype(np.float32)
    model.set_codes(Codebooks(centroids_LKE))
    with torch.no_grad():  # they begin at zero, where versions could not be told apart
        for layer in (model.ranker.heads, model.ranker.straight):
            layer.weight.normal_(std=0.05)
    origin = Origin(version, encoder_version, trained_until_ms=1_700_000_000_000, created_at_ms=1_700_000_000_000)
    transitions = TransitionCounts().export(len(streamers) + 1)
    return export_bundle(model, LearnConfig(), streamers, transitions, origin, leaves=leaves)
