"""Tests of how fast and how well the viewer tower learns beside LiveRec, on one thread or as many, in one run.

The same sequences of recorded visits, the same epochs, in turns, the same measure: rank all channels live at the
viewer's last visit of the test windows. Each keeps the weights of its best epoch in validation. Speed is that of
training alone, sequences a second. Never tunes the reference.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.bench.live_sequences import DATA, LENGTH, Sequences, Split, read
from tests.bench.liverec_reference import LiveRec, LiveRecConfig, Steps
from training.model.losses import viewer_to_room
from training.model.viewer_tower import ViewerTower, Visits
from training.viewer_config import MIXERS, MixerKind, ViewerConfig

NEVER = 0  # the interval of a channel that the viewer has not visited within the sequence
BOUNDS_S = (60, 300, 1_800, 7_200, 43_200, 129_600, 604_800, 2_592_000)
PIECE = 500  # sequences measured at a time


class Tower:
    """Ours: the viewer tower over embedded channels; the target is compared with all that was live at its step."""

    name = "viewer tower"
    BATCH_VISITS = 2_048

    def __init__(self, kind: MixerKind, num_channels: int, lr: float, epochs: int) -> None:
        self.model = Scorer(ViewerConfig(mixer=kind, max_visits=LENGTH, actions=0), num_channels)
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr, weight_decay=0.01, fused=True)
        self._lr, self._epochs = lr, epochs
        self._batches: list[Prepared] = []

    def prepare(self, train: Sequences) -> None:
        """Sequences of like length go together, so that nearly nothing is padding."""
        length_S = train.mask_ST.sum(1)
        prepared = Prepared.of(train)
        rows_of = torch.split(length_S.argsort(stable=True), self.BATCH_VISITS // LENGTH)
        self._batches = [prepared.rows(rows, int(length_S[rows].max())) for rows in rows_of]
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, self._lr, total_steps=self._epochs * len(self._batches), pct_start=0.1
        )

    def epoch(self, generator: torch.Generator) -> float:
        """Trains on all sequences; returns the mean loss of a step."""
        self.model.train()
        total = visits = 0.0
        for index in torch.randperm(len(self._batches), generator=generator).tolist():
            batch = self._batches[index]
            with torch.autocast("cpu", torch.bfloat16):
                logit_PC = self.model(batch)
            real_ST, sequences = batch.sequences.mask_ST, batch.sequences
            target_P = sequences.target_ST[real_ST]
            loss = viewer_to_room(logit_PC.float(), target_P, mask_BN=sequences.live_STC[real_ST])
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
            total, visits = total + loss.item() * len(target_P), visits + len(target_P)
        return total / visits

    @torch.no_grad()
    def scores(self, sequences: Sequences) -> Tensor:
        """[S, C]: of all channels at the last step, minus infinity where one is not live."""
        self.model.eval()
        every_PC: Tensor = self.model(Prepared.of(sequences))
        is_last_P = sequences.mask_ST.nonzero()[:, 1] == LENGTH - 1
        return every_PC[is_last_P].masked_fill(~sequences.live_STC[:, -1], float("-inf"))


@dataclass(frozen=True)
class Prepared:
    """Sequences as the tower has them."""

    sequences: Sequences
    since_same_s_ST: Tensor
    interval_STC: Tensor  # uint8

    @classmethod
    def of(cls, sequences: Sequences) -> Prepared:
        """Looks up how long ago each channel was visited."""
        channel_ST1, at_ms_ST = sequences.channel_ST[..., None], sequences.at_ms_ST
        last_ms_STC = torch.zeros(sequences.live_STC.shape, dtype=torch.int64)
        last_ms_STC.scatter_(2, channel_ST1, (at_ms_ST * sequences.mask_ST)[..., None])
        last_ms_STC = last_ms_STC.cummax(1).values
        before_ms_ST = nn.functional.pad(last_ms_STC[:, :-1], (0, 0, 1, 0)).gather(2, channel_ST1)[..., 0]
        since_ms_STC = sequences.target_ms_ST[..., None] - last_ms_STC
        interval_STC = torch.bucketize(since_ms_STC, torch.tensor(BOUNDS_S) * 1_000) + 1
        return cls(
            sequences,
            torch.where(before_ms_ST > 0, (at_ms_ST - before_ms_ST) / 1e3, -1.0),
            interval_STC.masked_fill_(last_ms_STC == 0, NEVER).to(torch.uint8),
        )

    def rows(self, rows: Tensor, length: int) -> Prepared:
        """Some of the sequences, their last `length` steps."""
        kept = {name: value[rows, -length:] for name, value in vars(self.sequences).items()}
        return Prepared(Sequences(**kept), self.since_same_s_ST[rows, -length:], self.interval_STC[rows, -length:])


class Scorer(nn.Module):
    """Inner products with channels, and how long the viewer has not been to each."""

    def __init__(self, config: ViewerConfig, num_channels: int) -> None:
        super().__init__()
        self.channels = nn.Embedding(num_channels, config.d_model)
        nn.init.normal_(self.channels.weight, std=0.1)
        self.bias_C = nn.Parameter(torch.zeros(num_channels))
        self.tower = ViewerTower(config)
        self.intervals = nn.Linear(config.d_model, len(BOUNDS_S) + 2)

    def forward(self, batch: Prepared) -> Tensor:
        """[P, C] logits."""
        sequences = batch.sequences
        visits = Visits(
            item_BTD=self.channels(sequences.channel_ST),
            mask_BT=sequences.mask_ST,
            dwell_s_BT=sequences.dwell_s_ST,
            gap_s_BT=(sequences.target_ms_ST - sequences.at_ms_ST) / 1e3,
            since_same_s_BT=batch.since_same_s_ST,
            hour_BT=sequences.target_ms_ST / 3_600_000 % 24,
        )
        viewer_PD = self.tower(visits)[sequences.mask_ST]
        logit_PC: Tensor = viewer_PD @ self.channels.weight.T + self.bias_C
        since_PC: Tensor = self.intervals(viewer_PD).gather(1, batch.interval_STC[sequences.mask_ST].long())
        return logit_PC + since_PC


class Reference:
    """LiveRec."""

    name = "LiveRec"

    def __init__(self, num_channels: int) -> None:
        self._config = LiveRecConfig()
        self.model = LiveRec(self._config, num_channels)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=self._config.lr)
        self._num_channels = num_channels

    def prepare(self, train: Sequences) -> None:
        """Makes the lists of what is available, as the public code does before it trains."""
        self._steps = as_steps(train)

    def epoch(self, generator: torch.Generator) -> float:
        """Trains on all sequences; returns the mean loss of a step."""
        self.model.train()
        total = 0.0
        order_S = torch.randperm(len(self._steps.item_BT), generator=generator)
        for rows in torch.split(order_S, self._config.batch):
            loss = self.model.loss(Steps(**{name: value[rows] for name, value in vars(self._steps).items()}))
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            total += loss.item()
        return total / int((self._steps.item_BT != 0).sum())

    @torch.no_grad()
    def scores(self, sequences: Sequences) -> Tensor:
        """[S, C]: of all channels at the last step, minus infinity where one is not live."""
        self.model.eval()
        steps = as_steps(sequences)
        every_SC = torch.full((len(sequences), self._num_channels + 1), float("-inf"))
        every_SC.scatter_(1, steps.available_BTN[:, -1], self.model.scores(steps))
        return every_SC[:, 1:]


def as_steps(sequences: Sequences) -> Steps:
    """Sequences as LiveRec has them: items from 1, and lists of what is available."""
    width = int(sequences.live_STC.sum(2).max())
    order_STN = sequences.live_STC.to(torch.uint8).argsort(dim=2, descending=True, stable=True)[..., :width]
    available_STN = (order_STN + 1) * sequences.live_STC.gather(2, order_STN)
    return Steps(
        (sequences.channel_ST + 1) * sequences.mask_ST,
        sequences.at_ms_ST,
        (sequences.target_ST + 1) * sequences.mask_ST,
        sequences.target_ms_ST,
        available_STN,
    )


@dataclass(frozen=True)
class Outcome:
    per_s: float
    ndcg10: float
    validation: float


def ndcg10(learner: Tower | Reference, sequences: Sequences) -> float:
    """Mean over sequences, the entered channel the one that counts; equal scores are ranked against it."""
    total = 0.0
    for start in range(0, len(sequences), PIECE):
        piece = Sequences(**{name: value[start : start + PIECE] for name, value in vars(sequences).items()})
        score_SC, target_S1 = learner.scores(piece), piece.target_ST[:, -1:]
        ahead_SC = (score_SC >= score_SC.gather(1, target_S1)).scatter(1, target_S1, value=False)
        rank_S = ahead_SC.sum(1) + 1.0
        total += float(((rank_S <= 10) / (rank_S + 1).log2()).sum())
    return total / len(sequences)


class Course:
    """One learner's way through the epochs. Time is the fastest epoch's: other processes only ever add to it."""

    def __init__(self, learner: Tower | Reference, split: Split, epochs: int, seed: int) -> None:
        self._learner, self._split, self._epochs = learner, split, epochs
        self._generator = torch.Generator().manual_seed(seed)
        began_s = time.perf_counter()
        learner.prepare(split.train)
        self._prepare_s, self._epoch_s = time.perf_counter() - began_s, float("inf")
        self._best, self._best_state = -1.0, learner.model.state_dict()

    def epoch(self, number: int) -> None:
        """Trains once through, and keeps the weights if they are the best in validation."""
        began_s = time.perf_counter()
        loss = self._learner.epoch(self._generator)
        self._epoch_s = min(self._epoch_s, time.perf_counter() - began_s)
        found = ndcg10(self._learner, self._split.validation)
        if found > self._best:
            self._best, self._best_state = found, copy.deepcopy(self._learner.model.state_dict())
        print(
            f"{self._learner.name:12} epoch {number}/{self._epochs} loss {loss:.4f} validation {found:.4f} "
            f"best {self._best:.4f}, {self._per_s():,.0f} sequences/s, "
            f"{(self._epochs - number) * self._epoch_s:.0f} s of training left",
            flush=True,
        )

    def end(self) -> Outcome:
        """Measures on the test. What was prepared once counts as time, an equal part an epoch."""
        self._learner.model.load_state_dict(self._best_state)
        return Outcome(self._per_s(), ndcg10(self._learner, self._split.test), self._best)

    def _per_s(self) -> float:
        return len(self._split.train) / (self._prepare_s / self._epochs + self._epoch_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--viewers", type=int, default=8_000, help="at most, in each part")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--mixer", choices=MIXERS, default="softmax")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    split = read(args.data, args.viewers, args.seed)
    print(
        f"{len(split.train):,} sequences to train, {len(split.validation):,} to choose, {len(split.test):,} to test, "
        f"{float(split.train.mask_ST.sum(1).float().mean()):.1f} visits each, "
        f"{float(split.test.live_STC[:, -1].sum(1).float().mean()):.0f} of {split.num_channels} channels live"
    )
    torch.manual_seed(args.seed)
    learners = Tower(args.mixer, split.num_channels, args.lr, args.epochs), Reference(split.num_channels)
    courses = [Course(learner, split, args.epochs, args.seed) for learner in learners]
    for number in range(1, args.epochs + 1):
        for course in courses:
            course.epoch(number)
    ours, reference = (course.end() for course in courses)
    print(f"{ours}\n{reference}")
    if args.json:
        found = {
            "ratio": round(ours.per_s / reference.per_s, 2),
            "ours_per_s": round(ours.per_s, 1),
            "reference_per_s": round(reference.per_s, 1),
            "ours_ndcg10": round(ours.ndcg10, 4),
            "reference_ndcg10": round(reference.ndcg10, 4),
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main()
