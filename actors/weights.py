"""Owns the weights of version 0's score. Never computes a score."""

from __future__ import annotations

from dataclasses import dataclass, fields

from streaming.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term of the score counts."""

    visited: float = 8.0
    content: float = 3.0
    category: float = 8.0
    language: float = 4.0
    trending: float = 0.5
    crowd: float = 2.0
    fresh: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1_000:
                raise ConfigError(
                    f"recommend.weights.{field.name} is {getattr(self, field.name)}; it must be in [0, 1000)"
                )
