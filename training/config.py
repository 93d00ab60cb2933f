"""Owns the settings of training. Never learns, and never imports torch: every process reads the settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from streaming.errors import ConfigError
from training.viewer_config import MixerKind


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How versions are made: from how much, how long, on how many workers, and how often by themselves."""

    every_s: float = 0.0  # a version is made from the archive so often while the system runs; 0: never
    first_s: float = 0.0  # after the start, the first of them; 0: after every_s
    folder: str = ".tidecast/training"  # examples, vectors, checkpoints, curves; workers on other nodes must see it
    history_hours: float = 168.0  # of the archive: a week holds every habit
    refresh_hours: float = 24.0  # of the archive, for a refresh, which goes on from the live version
    share: float = 1.0  # of the visits, drawn at random, that are learned from
    workers: int = 1  # processes that learn together; 0: in the process that asks, which costs no start
    gpu: bool = False  # a GPU for each
    threads: int = 1  # of each, on a CPU
    cpus: float = 0.1  # what Ray reserves for each; on a cluster give what each really uses
    niceness: int = 5  # of its threads, 0 to 19: on a busy machine, whoever answers comes first
    checkpoint_s: float = 20.0  # what a kill may lose
    towers_epochs: int = 2  # passes over the examples: of the towers,
    epochs: int = 2  # of towers, codes and ranker together,
    ranker_epochs: int = 12  # and of the ranker alone
    rate: float = 0.003
    batch: int = 512  # visits a step and worker
    mixer: MixerKind = "softmax"  # of the viewer tower: softmax, hstu or lru
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("every_s", "first_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"training.{name} is {getattr(self, name)}; it must not be negative")
        for name in ("history_hours", "refresh_hours", "cpus", "checkpoint_s", "rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"training.{name} is {getattr(self, name)}; it must be greater than 0")
        if not 0 < self.share <= 1:
            raise ConfigError(f"training.share is {self.share}; it must be in (0, 1]")
        if not 0 <= self.niceness <= 19:
            raise ConfigError(f"training.niceness is {self.niceness}; it must lie between 0 and 19")
        if self.workers < 0:
            raise ConfigError(f"training.workers is {self.workers}; it must not be negative")
        if self.ranker_epochs < 0:
            raise ConfigError(f"training.ranker_epochs is {self.ranker_epochs}; it must not be negative")
        for name in ("threads", "towers_epochs", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"training.{name} is {getattr(self, name)}; it must be at least 1")
        if self.mixer not in get_args(MixerKind):
            raise ConfigError(f'training.mixer is "{self.mixer}"; it must be one of {", ".join(get_args(MixerKind))}')

    def below(self, folder: Path) -> TrainingConfig:
        """This, or where the folder is a relative path, the same below a folder."""
        return replace(self, folder=str(folder / Path(self.folder).expanduser()))
