"""Small versions of the models for tests. Never a trained one."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.registry.bundle import Bundle, Manifest


def bundle(version: str = "one", seed: int = 0, **manifest: Any) -> Bundle:
    """A version with a few arrays; the same for the same seed."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "tower.weight": rng.normal(size=(4, 6)).astype(np.float32),
        "codes": rng.integers(0, 9, (3, 5)).astype(np.int16),
        "half": rng.normal(size=7).astype(np.float16),
        "scale": np.array(2.5, np.float32),
    }
    given: dict[str, Any] = {
        "version": version, "created_at_ms": 1_700_000_000_000, "encoder_version": "test", "d_content": 6, "d_model": 4,
        "features": ("cosine", "visits"), "trained_until_ms": 1_699_999_000_000,
        "config": {"lr": 0.1, "steps": 3, "tower": {"width": 8}},
        "metrics": {"ndcg10": 0.8, "visits": 3},
    }  # fmt: skip
    return Bundle(Manifest(**(given | manifest)), arrays, {"streamers": ("ada", "böb", "")})
