"""Owns what a run learns from, as a folder that every worker reads: examples, vectors, moves, the plan. Never learns.

examples/              training/examples/dataset.py
vectors.npy            float16 [K, D], of the examples' texts
moves-00000.npy …      float32 [R, M] of each shard: what was counted of moves and totals, as of each visit
transitions.safetensors  what is known of moves in the end
plan.json              written last
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from streaming.errors import TrainingError
from training.examples.candidate_batches import CandidateSetBuilder, ContentRules, TransitionPass, streamer_vocabulary
from training.examples.dataset import Examples, ExampleSet
from training.fit.export import Origin
from training.fit.local_fit import HELD_OUT, FitConfig
from training.inference.co_visits import Transitions
from training.model.batches import CandidateSets

PLAN = "plan.json"
JUDGED_BY = 200  # visits that are not learned from, where there are enough
MOST_HELD_OUT = 0.3


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be learned. parent: folder or URI of the version to begin with, "" for none."""

    fit: FitConfig
    origin: Origin
    rules: ContentRules
    streamers: tuple[str, ...]
    until_ms: int  # visits from then on are not learned from: on them the version is calibrated and judged
    parent: str = ""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """An opened folder."""

    folder: Path
    plan: Plan
    examples: ExampleSet

    @property
    def name(self) -> str:
        """Another for another plan or other examples: a run goes on only with what it was begun with."""
        digest = hashlib.sha256((self.folder / PLAN).read_bytes())
        digest.update((self.folder / "examples" / "index.json").read_bytes())
        return f"fit-{digest.hexdigest()[:16]}"

    def candidate_sets(self, rank: int, processes: int) -> CandidateSets:
        """Those of one of several processes, in time order. Raises TrainingError: there is no shard for it."""
        numbers = range(rank, len(self.examples.shard_sizes), processes)
        if not numbers:
            raise TrainingError(
                f"{len(self.examples.shard_sizes)} shards of examples for {processes} processes; start fewer"
            )
        return self._candidate_sets(numbers)

    def unseen(self) -> CandidateSets:
        """Those that are not learned from, the newest, in time order; none where all visits are of one moment."""
        sizes = self.examples.shard_sizes
        last = len(sizes) - 1
        while last > 0 and int(self.examples.shard(last).at_ms_V[0]) >= self.plan.until_ms:
            last -= 1
        candidate_sets = self._candidate_sets(range(last, len(sizes)))
        return candidate_sets.after(int(np.searchsorted(candidate_sets.at_ms_V, self.plan.until_ms)))

    def _candidate_sets(self, numbers: Sequence[int]) -> CandidateSets:
        maker = CandidateSetBuilder(self.examples, self._vectors(), self.plan.streamers, self.plan.rules)
        joined = _joined([self.examples.shard(number) for number in numbers])
        moves_RM = np.concatenate([np.load(self.folder / transitions_name(number)) for number in numbers])
        return maker.candidate_sets(joined, moves_RM, self.plan.fit.learn.visits)

    def transitions(self) -> Transitions:
        """As of the end of the examples."""
        return Transitions.of(safetensors.numpy.load_file(self.folder / "transitions.safetensors"))

    def _vectors(self) -> NDArray[np.float16]:
        vectors_KD: NDArray[np.float16] = np.load(self.folder / "vectors.npy", allow_pickle=False)
        return vectors_KD


def transitions_name(number: int) -> str:
    """The file of a shard's moves."""
    return f"moves-{number:05d}.npy"


def write_run_folder(
    folder: Path,
    examples: ExampleSet,
    vectors_KD: NDArray[np.float16],
    fit: FitConfig,
    *,
    origin: Origin,
    rules: ContentRules,
    parent: str = "",
    parent_streamers: Sequence[str] = (),
) -> RunFolder:
    """Writes all of it but the examples, which lie in the folder. Raises TrainingError: it cannot be written."""
    streamers = streamer_vocabulary(examples, parent_streamers)
    passing = TransitionPass(examples, streamers)
    try:
        np.save(folder / "vectors.npy", vectors_KD)
        for number, shard in enumerate(examples.shards()):
            np.save(folder / transitions_name(number), passing.columns(shard))
        transitions = passing.counts.export(len(streamers) + 1)
        safetensors.numpy.save_file(dict(transitions.arrays()), folder / "transitions.safetensors")
        plan = Plan(
            fit=fit, origin=origin, rules=rules, streamers=streamers, until_ms=_until_ms(examples), parent=parent
        )
        (folder / PLAN).write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1))
    except OSError as err:
        raise TrainingError(f"{folder}: what is to be learned from cannot be written: {err}") from err
    return open_run_folder(folder)


def open_run_folder(folder: Path) -> RunFolder:
    """Raises TrainingError: it is not complete."""
    try:
        plan = msgspec.json.decode((folder / PLAN).read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as err:
        raise TrainingError(f"{folder / PLAN}: {err}; prepare again") from err
    return RunFolder(folder, plan, ExampleSet(folder / "examples"))


def _until_ms(examples: ExampleSet) -> int:
    """The time that the newest of the visits come after: a share, of few visits a larger one, to judge by enough."""
    at_ms_V = np.sort(np.concatenate([shard.at_ms_V for shard in examples.shards()]))
    share = min(MOST_HELD_OUT, max(HELD_OUT, JUDGED_BY / len(at_ms_V)))
    return int(at_ms_V[int(len(at_ms_V) * (1 - share))])


def _joined(shards: Sequence[Examples]) -> Examples:
    """One after the other: every column is flat."""
    return Examples(*(np.concatenate([getattr(shard, column.name) for shard in shards]) for column in fields(Examples)))
