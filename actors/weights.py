"""Owns the weights of version 0's score. Never computes a score."""

from __future__ import annotations

from dataclasses import dataclass, fields

from streaming.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term of the score counts."""

    visited: float = 9.0
    content: float = 2.0
    category: float = 6.0
    language: float = 3.0
    arrivals: float = 3.2
    trending: float = 2.2
    crowd: float = 0.5
    rising: float = 0.7
    fresh: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1_000:
                raise ConfigError(
                    f"recommend.weights.{field.name} is {getattr(self, field.name)}; it must be in [0, 1000)"
                )
