"""Proof that the viewer tower is not a toy: MovieLens-1M with each mixer. Never tunes on the test items.

Each viewer's last item is the test, the one before it validation, the rest training. All items are ranked but those
that the viewer has seen, as in the published figures on this split (NDCG@10: SASRec .1902, LRURec .1930). The weights
kept are those of the epoch with the best validation NDCG@10; the test is looked at once.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from tests.bench.catalogue import catalogue_softmax
from training.model.viewer_tower import ViewerConfig, ViewerTower, Visits
from training.viewer_config import MIXERS, MixerKind

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "ml-1m" / "sequences.parquet"
TOP = 10


@dataclass(frozen=True)
class Recipe:
    """How a tower is trained here. batch_visits: padded places in a batch."""

    epochs: int = 30
    d_model: int = 64
    blocks: int = 4
    heads: int = 2
    ffn: int = 4
    max_visits: int = 200
    dropout: float = 0.2
    batch_visits: int = 6_400
    lr: float = 2e-3
    warm: float = 0.05  # share of the steps in which the rate rises
    weight_decay: float = 0.05
    smoothing: float = 0.0
    ema: float = 0.998
    init: float = 0.02
    every: int = 3  # epochs from one validation to the next
    whole: int = 1  # whether an epoch has all of a long sequence, or one piece of it
    newest: float = 0.5  # how often that one piece is the newest
    forget: float = 0.0  # share of the inputs that are replaced by nothing
    stop: int = 0  # epochs after which to stop, on the schedule of `epochs`


class Films(nn.Module):
    """The tower over embedded films; the same embeddings are what its vectors are compared with."""

    def __init__(self, kind: MixerKind, num_items: int, recipe: Recipe) -> None:
        super().__init__()
        self.forget = recipe.forget
        self.items = nn.Embedding(num_items, recipe.d_model)
        nn.init.normal_(self.items.weight, std=recipe.init)
        self.tower = ViewerTower(
            ViewerConfig(
                mixer=kind, d_item=recipe.d_model, d_model=recipe.d_model, blocks=recipe.blocks, heads=recipe.heads,
                max_visits=recipe.max_visits, ffn=recipe.ffn, dropout=recipe.dropout, actions=0, timed=False,
                hourly=False,
            )
        )  # fmt: skip

    def forward(self, item_BT: Tensor, mask_BT: Tensor) -> Tensor:
        item_BTD = self.items(item_BT)
        if self.training and self.forget:
            item_BTD = item_BTD * (torch.rand(item_BT.shape, device=item_BT.device) >= self.forget)[..., None]
        every_BTD: Tensor = self.tower(Visits(item_BTD, mask_BT))
        return every_BTD


def read(path: Path) -> list[np.ndarray]:
    """Each viewer's items from 0, in time order."""
    if not path.exists():
        sys.exit(f"{path} is not there: give MovieLens-1M's sequences with --data (columns user, items in time order)")
    lists = pq.read_table(path, columns=["items"])["items"].combine_chunks()
    _, item_V = np.unique(lists.values.to_numpy(), return_inverse=True)
    return np.split(item_V.astype(np.int64), lists.offsets.to_numpy()[1:-1])


def pad(sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """[B, T] items, padded behind, and which places are real."""
    length = max(map(len, sequences))
    item_BT = np.zeros((len(sequences), length), np.int64)
    mask_BT = np.zeros((len(sequences), length), bool)
    for row, sequence in enumerate(sequences):
        item_BT[row, : len(sequence)], mask_BT[row, : len(sequence)] = sequence, True
    return torch.from_numpy(item_BT), torch.from_numpy(mask_BT)


def batches(train: Sequence[np.ndarray], recipe: Recipe, rng: np.random.Generator) -> Iterator[list[np.ndarray]]:
    """An epoch: everybody's sequence, cut at random; pieces of like length go together."""
    pieces = [piece for sequence in train for piece in _cut(sequence, recipe, rng) if len(piece) > 1]
    order = sorted(rng.permutation(len(pieces)), key=lambda index: len(pieces[index]) // 4)
    groups: list[list[np.ndarray]] = [[]]
    for index in order:
        if groups[-1] and (len(groups[-1]) + 1) * (len(pieces[index]) - 1) > recipe.batch_visits:
            groups.append([])
        groups[-1].append(pieces[index])
    for group in rng.permutation(len(groups)):
        yield groups[group]


def _cut(sequence: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> list[np.ndarray]:
    """Pieces of max_visits and one, which overlap by that one; or one piece, every other time the newest."""
    longest = recipe.max_visits + 1
    if len(sequence) <= longest:
        return [sequence]
    if recipe.whole:
        cuts = np.arange(rng.integers(1, longest), len(sequence), recipe.max_visits)
        return [sequence[start:end] for start, end in zip(np.r_[0, cuts], np.r_[cuts + 1, len(sequence)], strict=True)]
    end = len(sequence) if rng.random() < recipe.newest else rng.integers(longest, len(sequence) + 1)
    return [sequence[end - longest : end]]


@torch.no_grad()
def ndcg(model: Films, sequences: Sequence[np.ndarray], recipe: Recipe, device: str) -> tuple[float, float]:
    """NDCG@10 and recall@10 of each sequence's last item, among all items that are not in the sequence before it."""
    model.eval()
    gain = hits = 0.0
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    for start in range(0, len(order), 64):
        some = [sequences[index] for index in order[start : start + 64]]
        item_BT, mask_BT = (t.to(device) for t in pad([sequence[:-1][-recipe.max_visits :] for sequence in some]))
        with torch.autocast(device, torch.bfloat16):
            every_BTD = model(item_BT, mask_BT).float()
        query_BD = every_BTD[torch.arange(len(some)), mask_BT.sum(1) - 1]
        score_BC = query_BD @ model.items.weight.T
        target_B1 = torch.tensor([[sequence[-1]] for sequence in some], device=device)
        target_score_B1 = score_BC.gather(1, target_B1)
        for row, sequence in enumerate(some):
            score_BC[row, sequence[:-1]] = float("-inf")
        rank_B = (score_BC > target_score_B1).sum(1) + 1
        found_B = rank_B <= TOP
        gain += float((found_B / (rank_B + 1.0).log2()).sum())
        hits += float(found_B.sum())
    model.train()
    return gain / len(sequences), hits / len(sequences)


class Run:
    """One tower in training: its weights, their running mean, and how far it is."""

    def __init__(self, kind: MixerKind, num_items: int, recipe: Recipe, steps: int, device: str) -> None:
        self._recipe, self._steps, self._step, self._device = recipe, steps, 0, device
        self._model = Films(kind, num_items, recipe).to(device)
        self.mean = copy.deepcopy(self._model)
        wide = [parameter for parameter in self._model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self._model.parameters() if parameter.ndim <= 1]
        groups = [{"params": wide, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), fused=True)

    def step(self, pieces: list[np.ndarray]) -> tuple[float, int]:
        """Trains on a batch: the mean loss, and over how many visits."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.lr * rate(self._step / self._steps, self._recipe.warm)
        item_BT, mask_BT = (tensor.to(self._device) for tensor in pad(pieces))
        real_BT = mask_BT[:, 1:]
        target_N = item_BT[:, 1:][real_BT]
        with torch.autocast(self._device, torch.bfloat16):
            query_ND = self._model(item_BT[:, :-1], real_BT)[real_BT]
            loss = catalogue_softmax(query_ND, self._model.items.weight, target_N, self._recipe.smoothing)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0, foreach=True)
        self._optimizer.step()
        self._step += 1
        share = min(self._recipe.ema, self._step / (self._step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.mean.parameters()), list(self._model.parameters()), 1 - share)
        return loss.item(), len(target_N)


def train(kind: MixerKind, sequences: Sequence[np.ndarray], recipe: Recipe, seed: int, device: str) -> dict[str, float]:
    """Trains one tower and measures it on the test items with the weights best in validation."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    past, held_out = [sequence[:-2] for sequence in sequences], [sequence[:-1] for sequence in sequences]
    steps = recipe.epochs * sum(1 for _ in batches(past, recipe, np.random.default_rng(seed)))
    run = Run(kind, 1 + max(int(sequence.max()) for sequence in sequences), recipe, steps, device)
    best, best_state, began_s = -1.0, run.mean.state_dict(), time.monotonic()
    last = recipe.stop or recipe.epochs
    for epoch in range(1, last + 1):
        losses = np.array([run.step(pieces) for pieces in batches(past, recipe, rng)])
        line = f"{kind} epoch {epoch}/{recipe.epochs} loss {np.average(losses[:, 0], weights=losses[:, 1]):.4f}"
        if epoch % recipe.every == 0 or epoch == last:
            found, recall = ndcg(run.mean, held_out, recipe, device)
            if found > best:
                best, best_state = found, copy.deepcopy(run.mean.state_dict())
            line += f" validation {found:.4f} recall {recall:.4f} best {best:.4f}"
        spent_s = time.monotonic() - began_s
        print(f"{line} {spent_s:.0f} s, {spent_s / epoch * (last - epoch):.0f} s left", flush=True)
    run.mean.load_state_dict(best_state)
    tested, recall = ndcg(run.mean, sequences, recipe, device)
    figures = {"ndcg10": tested, "recall10": recall, "validation_ndcg10": best, "seconds": time.monotonic() - began_s}
    return {name: round(figure, 4) for name, figure in figures.items()}


def rate(done: float, warm: float) -> float:
    """The share of the highest learning rate: up in a straight line, then down along a cosine."""
    return done / warm if done < warm else 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))


def asked(pairs: Sequence[str], parser: argparse.ArgumentParser) -> Recipe:
    """The recipe with KEY=VALUE pairs in place of what is written there."""
    kinds: dict[str, type] = {name: type(value) for name, value in asdict(Recipe()).items()}
    given = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name not in kinds:
            parser.error(f"--recipe {pair}: no such key; there are {', '.join(kinds)}")
        given[name] = kinds[name](value)
    return replace(Recipe(), **given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--mixers", nargs="+", choices=MIXERS, default=list(MIXERS))
    parser.add_argument("--epochs", type=int, help="otherwise as many as the recipe says")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipe", nargs="*", default=[], metavar="KEY=VALUE", help="other than what is written here")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = asked(args.recipe, parser)
    if args.epochs:
        recipe = replace(recipe, epochs=args.epochs)
    sequences = read(args.data)
    results = {kind: train(kind, sequences, recipe, args.seed, device) for kind in args.mixers}
    for kind, result in results.items():
        print(kind, result)
    if args.json:
        best = max(result["ndcg10"] for result in results.values())
        print(json.dumps({"ndcg10": best, "mixers": results}))


if __name__ == "__main__":
    main()
