"""The serving networks beside ONNX Runtime, on one thread each, at the sizes that requests have.

    uv pip install onnx onnxruntime
    python -m tests.bench.onnx_towers [--rounds N] [--json]

The viewer tower for one viewer with some visits, and the ranker for some candidates of one request. torch's modules are
exported to ONNX as they are; ours is what a replica runs. The ranker of a replica has the rooms' own part of its first
layer beforehand (`prepare`, a few times a second for all rooms); in one ONNX graph each request computes all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported, or its threads are there already

import numpy as np
import torch
from torch import Tensor, nn

from tests.bench.viewer_forward import fastest_us
from training.features.features import ROOM_FEATURES
from training.inference.room_and_ranker import RankerForward
from training.inference.viewer_tower import ViewerForward, VisitHistory
from training.model.config import EXTRA, RANKED, TOTALS, RankerConfig
from training.model.ranker import RankerNetwork, knots
from training.model.viewer_tower import ViewerTower, Visits
from training.viewer_config import MIXERS, MixerKind, ViewerConfig


class OneViewer(nn.Module):
    """The tower for one viewer, without padding: the last visit's output."""

    def __init__(self, tower: ViewerTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(  # noqa: PLR0917  ONNX knows inputs by place
        self, item: Tensor, action: Tensor, dwell: Tensor, gap: Tensor, since: Tensor, hour: Tensor
    ) -> Tensor:
        length = item.shape[0]
        mask_1T = torch.ones(1, length, dtype=torch.bool)
        visits = Visits(item[None], mask_1T, action[None], dwell[None], gap[None], since[None], hour.expand(1, length))
        last_D: Tensor = self.tower(visits)[0, -1]
        return last_D


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500, help="calls, of which the fastest counts (500)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, Any]] = {}
    for kind in MIXERS:
        for visits, figures in tower(kind, args.rounds).items():
            found[f"{kind}, {visits} visits"] = figures
    for candidates, figures in ranker(args.rounds).items():
        found[f"ranker, {candidates} candidates"] = figures
    for name, figures in found.items():
        print(f"{name:<28}{figures}")
    if args.json:
        print(json.dumps(found))


def tower(kind: MixerKind, rounds: int) -> dict[int, dict[str, Any]]:
    """Visits → figures."""
    config = ViewerConfig(mixer=kind)
    model = ViewerTower(config).eval()
    ours = ViewerForward(config, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    histories = {visits: history(config, visits) for visits in (5, 20, 50)}
    names = ["item", "action", "dwell", "gap", "since", "hour"]
    try:
        session = exported(OneViewer(model), inputs(histories[20]), names, names[:5])
    except torch.onnx.errors.OnnxExporterError as err:
        return {visits: {"ours_us": us(ours, one, rounds), "onnx": said(err)} for visits, one in histories.items()}
    figures = {}
    for visits, one in histories.items():
        given = dict(zip(names, (array.numpy() for array in inputs(one)), strict=True))
        apart = float(np.abs(session.run(None, given)[0] - ours(one)).max())
        assert apart < 1e-4, f"{kind} with {visits} visits: ONNX and ours are {apart} apart"
        onnx_us = fastest_us(lambda given=given: session.run(None, given), rounds)
        figures[visits] = compared(us(ours, one, rounds), onnx_us)
    return figures


def history(config: ViewerConfig, visits: int) -> VisitHistory:
    rng = np.random.default_rng(0)
    dwell_s_T, gap_s_T, since_s_T = np.exp(rng.uniform(0, 12, (3, visits))).astype(np.float32)
    item_TD = rng.standard_normal((visits, config.d_item)).astype(np.float32)
    return VisitHistory(item_TD, rng.integers(0, 3, visits), dwell_s_T, gap_s_T, since_s_T, hour=12.0)


def inputs(one: VisitHistory) -> tuple[Tensor, ...]:
    arrays = (one.item_TD, one.action_T, one.dwell_s_T, one.gap_s_T, one.since_same_s_T)
    return (*map(torch.from_numpy, arrays), torch.tensor([one.hour]))


def us(ours: ViewerForward, one: VisitHistory, rounds: int) -> float:
    return fastest_us(lambda: ours(one), rounds)


def ranker(rounds: int) -> dict[int, dict[str, Any]]:
    """Candidates → figures. 60 is what a request ranks by default (`recommend.ranked`)."""
    rng = np.random.default_rng(0)
    features_RF = rng.gamma(1.0, 10.0, (2_000, len(RANKED))).astype(np.float32)
    config = RankerConfig()
    model = RankerNetwork(config, RANKED, knots(features_RF, config.bins)).eval()
    for parameter in model.parameters():
        parameter.data = torch.from_numpy(rng.normal(scale=0.1, size=parameter.shape).astype(np.float32))
    ours = RankerForward({f"ranker.{n}": t.numpy() for n, t in model.state_dict().items()}, (*ROOM_FEATURES, *TOTALS))
    names = ["features", "extra", "terms"]

    def given(candidates: int) -> tuple[Tensor, ...]:
        shapes = (len(RANKED), len(EXTRA), 7)
        return tuple(torch.rand(candidates, width, requires_grad=True) for width in shapes)  # else numba encodes

    session = exported(model, given(60), names, names)
    crowd = [RANKED.index(name) for name in (*ROOM_FEATURES, *TOTALS)]
    rest = [index for index in range(len(RANKED)) if index not in crowd]
    figures = {}
    for candidates in (20, 60, 200, 1_000):
        features_NF, extra_NX, terms_NK = (one.detach().numpy() for one in given(candidates))
        gate = list(EXTRA).index("gate")
        prepared_NO = ours.prepare(np.ascontiguousarray(features_NF[:, crowd]), np.ascontiguousarray(extra_NX[:, gate]))
        others = [index for index in range(len(EXTRA)) if index != gate]
        rest_NF = np.ascontiguousarray(np.concatenate([features_NF[:, rest], extra_NX[:, others]], axis=1))
        slots_N = np.arange(candidates)
        feed = dict(zip(names, (features_NF, extra_NX, terms_NK), strict=True))
        figures[candidates] = compared(
            fastest_us(lambda p=prepared_NO, s=slots_N, r=rest_NF: ours(p, s, r), rounds),
            fastest_us(lambda feed=feed: session.run(None, feed), rounds),
        )
    return figures


def exported(model: nn.Module, given: tuple[Tensor, ...], names: list[str], varying: list[str]) -> Any:
    """A session of ONNX Runtime: one thread, every optimisation. varying: inputs of any length."""
    import onnxruntime as runtime  # noqa: PLC0415  not among what development needs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        axes = {name: {0: "length"} for name in varying}
        torch.onnx.export(model, given, path, dynamo=False, input_names=names, dynamic_axes=axes, opset_version=17)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compared(ours_us: float, onnx_us: float) -> dict[str, Any]:
    return {"ours_us": ours_us, "onnx_us": onnx_us, "ratio": round(onnx_us / ours_us, 2)}


def said(err: Exception) -> str:
    return str(err).strip().splitlines()[0][:100]


if __name__ == "__main__":
    main()
