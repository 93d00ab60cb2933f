"""Tests of what a viewer's vector costs at serving beside torch, in one run. Never measures how good it is.

On one thread each, as Ray starts a replica's process (OMP_NUM_THREADS=1). With more, OpenBLAS shares products of 50
visits with a second thread, and where another process has that core the first one waits for it: 8 to 16 ms a call.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported, or its threads are there already

import numpy as np
import torch

from training.inference.viewer_tower import ViewerForward, VisitHistory
from training.model.viewer_tower import ViewerTower, Visits
from training.viewer_config import MIXERS, MixerKind, ViewerConfig


def fastest_us(call: Callable[[], object], rounds: int) -> float:
    """µs: the best of rounds, since other processes only ever add time."""
    best_s = np.inf
    for _ in range(rounds):
        began_s = time.perf_counter()
        call()
        best_s = min(best_s, time.perf_counter() - began_s)
    return round(best_s * 1e6, 1)


def measure(kind: MixerKind, visits: int, rounds: int) -> dict[str, float]:
    """One viewer with some visits: ours, and torch's forward without gradients."""
    config = ViewerConfig(mixer=kind)
    model = ViewerTower(config).eval()
    ours = ViewerForward(config, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    rng = np.random.default_rng(0)
    seconds_3T = np.exp(rng.uniform(0, 12, (3, visits))).astype(np.float32)
    item_TD = rng.standard_normal((visits, config.d_item)).astype(np.float32)
    dwell_s_T, gap_s_T, since_same_s_T = seconds_3T
    history = VisitHistory(item_TD, rng.integers(0, 3, visits), dwell_s_T, gap_s_T, since_same_s_T, hour=12.0)
    given = Visits(
        item_BTD=torch.from_numpy(item_TD)[None],
        mask_BT=torch.ones(1, visits, dtype=torch.bool),
        action_BT=torch.from_numpy(history.action_T)[None],
        dwell_s_BT=torch.from_numpy(dwell_s_T)[None],
        gap_s_BT=torch.from_numpy(gap_s_T)[None],
        since_same_s_BT=torch.from_numpy(since_same_s_T)[None],
        hour_BT=torch.full((1, visits), 12.0),
    )
    with torch.no_grad():
        ours_us = fastest_us(lambda: ours(history), rounds)
        torch_us = fastest_us(lambda: model.latest(given), rounds)
    return {"ours_us": ours_us, "torch_us": torch_us}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, nargs="+", default=[5, 20, 50])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    for kind in MIXERS:
        for visits in args.visits:
            found[f"{kind}/{visits}"] = measure(kind, visits, args.rounds)
            print(f"{kind:8} {visits:3} visits: {found[f'{kind}/{visits}']}")
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
