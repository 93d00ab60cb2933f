"""The run folder, which every worker reads: examples, vectors, transition features, the plan. Never learns.

examples/                training/examples/dataset.py
vectors.npy              float16 [K, D], of the examples' texts
moves-00000.npy …        float32 [R, M] of each shard: transition features and totals as of each visit
transitions.safetensors  the tables of transitions at the end of the examples
plan.json                written last
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from streaming.errors import TrainingError
from training.examples.candidate_batches import CandidateSetBuilder, ContentRules, TransitionPass, streamer_vocabulary
from training.examples.dataset import ExampleSet, joined
from training.fit.export import Origin
from training.fit.local_fit import HELD_OUT, FitConfig
from training.inference.co_visits import Transitions
from training.model.batches import CandidateSets

PLAN = "plan.json"
JUDGED_BY = 200  # visits that are not learned from, where there are enough
MOST_HELD_OUT = 0.3


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a run. parent: folder or URI of the version to continue from, "" for none."""

    fit: FitConfig
    origin: Origin
    rules: ContentRules
    streamers: tuple[str, ...]
    until_ms: int  # visits from then on are not learned from: on them the version is calibrated and judged
    parent: str = ""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run folder that was opened and is complete."""

    folder: Path
    plan: Plan
    examples: ExampleSet

    @property
    def name(self) -> str:
        """The run's name, a digest of plan and examples: with others a run does not continue but starts anew."""
        digest = hashlib.sha256((self.folder / PLAN).read_bytes())
        digest.update((self.folder / "examples" / "index.json").read_bytes())
        return f"fit-{digest.hexdigest()[:16]}"

    @property
    def files(self) -> tuple[str, ...]:
        """The paths below the folder of all that the run needs, the plan last. Not of what it writes."""
        examples = sorted(path for path in (self.folder / "examples").iterdir() if path.is_file())
        names = [path.relative_to(self.folder).as_posix() for path in examples]
        transitions = [transitions_name(number) for number in range(len(self.examples.shard_sizes))]
        return (*names, "vectors.npy", *transitions, "transitions.safetensors", PLAN)

    def candidate_sets(self, rank: int, processes: int) -> CandidateSets:
        """The candidate sets of one of several processes, in time order.

        rank: its number, from 0. Raises TrainingError: there is no shard for it, or one cannot be read.
        """
        numbers = range(rank, len(self.examples.shard_sizes), processes)
        if not numbers:
            raise TrainingError(
                f"{len(self.examples.shard_sizes)} shards of examples for {processes} processes; start fewer"
            )
        return self._candidate_sets(numbers)

    def unseen(self) -> CandidateSets:
        """The newest candidate sets, which are not learned from, in time order.

        There are none where all visits are of one time.
        """
        sizes = self.examples.shard_sizes
        last = len(sizes) - 1
        while last > 0 and int(self.examples.shard(last).at_ms_V[0]) >= self.plan.until_ms:
            last -= 1
        candidate_sets = self._candidate_sets(range(last, len(sizes)))
        return candidate_sets.after(int(np.searchsorted(candidate_sets.at_ms_V, self.plan.until_ms)))

    def _candidate_sets(self, numbers: Sequence[int]) -> CandidateSets:
        plan = self.plan
        maker = CandidateSetBuilder(
            self.examples, self._vectors(), plan.streamers, plan.rules, leave_s=plan.fit.learn.leave_s
        )
        whole = joined([self.examples.shard(number) for number in numbers])
        transitions_RM = np.concatenate([np.load(self.folder / transitions_name(number)) for number in numbers])
        return maker.candidate_sets(whole, transitions_RM, self.plan.fit.learn.visits)

    def transitions(self) -> Transitions:
        """The tables of transitions at the end of the examples."""
        return Transitions.from_arrays(safetensors.numpy.load_file(self.folder / "transitions.safetensors"))

    def _vectors(self) -> NDArray[np.float16]:
        vectors_KD: NDArray[np.float16] = np.load(self.folder / "vectors.npy", allow_pickle=False)
        return vectors_KD


def transitions_name(number: int) -> str:
    """The name of the file with a shard's transition features."""
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
    """Writes a run folder, all but the examples, which lie in it already. Raises TrainingError: it cannot be written.

    vectors_KD: of the examples' texts. parent: folder or URI of the version to continue from, "" for none;
    parent_streamers: its streamers, which keep their rows.
    """
    streamers = streamer_vocabulary(examples, parent_streamers)
    passing = TransitionPass(examples, streamers)
    try:
        np.save(folder / "vectors.npy", vectors_KD)
        for number, shard in enumerate(examples.shards()):
            np.save(folder / transitions_name(number), passing.columns(shard))
        transitions = passing.counts.export(len(streamers) + 1)
        safetensors.numpy.save_file(dict(transitions.arrays()), folder / "transitions.safetensors")
        plan = Plan(
            fit=fit, origin=origin, rules=rules, streamers=streamers, until_ms=judged_from_ms(examples), parent=parent
        )
        (folder / PLAN).write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1))
    except OSError as err:
        raise TrainingError(f"{folder}: what is to be learned from cannot be written: {err}") from err
    return open_run_folder(folder)


def open_run_folder(folder: Path) -> RunFolder:
    """The run folder at a place. Raises TrainingError: it is not complete."""
    try:
        plan = msgspec.json.decode((folder / PLAN).read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as err:
        raise TrainingError(f"{folder / PLAN}: {err}; prepare again") from err
    return RunFolder(folder, plan, ExampleSet(folder / "examples"))


def judged_from_ms(examples: ExampleSet) -> int:
    """The time from which visits are held out: the newest share, of few visits a larger one, to judge by enough."""
    at_ms_V = np.sort(np.concatenate([shard.at_ms_V for shard in examples.shards()]))
    share = min(MOST_HELD_OUT, max(HELD_OUT, JUDGED_BY / len(at_ms_V)))
    return int(at_ms_V[int(len(at_ms_V) * (1 - share))])
