"""Owns `tidecast evaluate`: its options, its progress bar and its table. Never ranks or measures itself."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.chat import Windows
    from training.quality import Group
    from training.rankers import Ranker
    from training.report import Report

EPILOG = """\
A visit is a viewer's message after being in another channel, or silent for half an hour. Live at a visit are the
channels with a message in the five minutes before it, and the one entered; all of them are ranked, and the one entered
should come first. Everything a ranker sees happened before the visit; the test's own past counts as past.

  all      every visit of the test          repeat   the viewer has visited the channel before
  new      has visited other channels only  cold     the viewer's first visit ever

Each figure comes with its 95 % confidence interval: viewers are resampled, 1,000 times, with a fixed seed.

rankers:
  popularity            messages of the last seconds; how many seconds is chosen on the training part
  newcomers             visits of the last minute by viewers who were never anywhere
  memory                the viewer's own channels by frequency and recency, then popularity
  memory + transitions  the same, then where viewers go from the viewer's last channel
  boosting              gradient-boosted trees over all features: the reference to beat; pip install 'tidecast[eval]'

--rankings writes a row a visit: at, viewer, entered, ranked (up to 20 channels, best first), live (how many).

examples:
  tidecast evaluate --train monday.parquet --test tuesday.parquet
  tidecast evaluate --train chat.parquet --train-windows 0:40 --test chat.parquet --test-windows 40:50
  tidecast evaluate --train a.parquet b.parquet --test c.parquet --rankers popularity memory --json report.json
"""
RANKERS = ("popularity", "newcomers", "memory", "memory + transitions", "boosting")
SHOWN = ("all", "repeat", "new", "cold")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="rank recorded visits with each ranker and measure how well",
        description="Replays recorded chat causally and ranks all live rooms at each visit of the test.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--train", type=Path, nargs="+", required=True, metavar="FILE", help="recorded chat: the past")
    parser.add_argument("--test", type=Path, nargs="+", required=True, metavar="FILE", help="recorded chat after it")
    parser.add_argument("--train-windows", type=_windows, metavar="A:B", help="only rows with A <= window < B")
    parser.add_argument("--test-windows", type=_windows, metavar="C:D", help="only rows with C <= window < D")
    parser.add_argument("--rankers", nargs="+", choices=RANKERS, default=list(RANKERS), help="default: all")
    parser.add_argument("--learn-from", type=_count, default=100_000, metavar="N", help="visits, default: 100000")
    parser.add_argument("--trees", type=_count, default=300, metavar="N", help="of boosting, default: 300")
    parser.add_argument("--seed", type=int, default=7, help="of samples and resamples, default: 7")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file")
    parser.add_argument("--rankings", type=Path, metavar="OUT.parquet", help="write a ranker's rankings to this file")
    parser.add_argument(
        "--rankings-of", choices=RANKERS, metavar="RANKER", help="whose; default: the last of --rankers"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.evaluate_progress import EvaluateProgress  # noqa: PLC0415  the help needs none of this
    from training.chat import load  # noqa: PLC0415
    from training.evaluate import EvaluateConfig, evaluate  # noqa: PLC0415
    from training.rankings import RankingsFile  # noqa: PLC0415

    rankers = build_rankers(args.rankers, args.trees, args.seed)
    chosen = args.rankings_of or rankers[-1].name
    _check_outputs(args, chosen)
    chat = load(args.train, args.test, args.train_windows, args.test_windows)
    with ExitStack() as stack:
        sinks = {chosen: stack.enter_context(RankingsFile(args.rankings, chat))} if args.rankings else None
        progress = stack.enter_context(EvaluateProgress(len(chat.at_us_M)))
        config = EvaluateConfig(args.seed, args.learn_from)
        report = evaluate(chat, rankers, config, progress, sinks=sinks)
    print(table(report))
    if args.json:
        args.json.write_text(json.dumps(as_json(report, rankers, args), indent=2) + "\n")
    return 0


def build_rankers(names: Sequence[str], trees: int, seed: int) -> list[Ranker]:
    """In the order of RANKERS. Raises ConfigError: boosting is asked for by name and lightgbm is not installed."""
    from streaming.errors import ConfigError  # noqa: PLC0415
    from training.boosting import Boosting, BoostingConfig  # noqa: PLC0415
    from training.rankers import Memory, MemoryAndMoves, NewcomerPopularity, Popularity  # noqa: PLC0415

    if "boosting" in names and not Boosting.available():
        if tuple(names) != RANKERS:
            raise ConfigError("boosting needs lightgbm: pip install 'tidecast[eval]', or leave it out of --rankers")
        print("tidecast: without boosting, the reference: pip install 'tidecast[eval]'", file=sys.stderr)
        names = [name for name in names if name != "boosting"]
    popularity = Popularity()
    rankers: list[Ranker] = [popularity, NewcomerPopularity(), Memory(popularity), MemoryAndMoves(popularity)]
    rankers.append(Boosting(BoostingConfig(trees=trees, seed=seed)))
    return [ranker for ranker in rankers if ranker.name in names]


def table(report: Report) -> str:
    """For a person."""
    lines = [
        f"{report.test_visits:,} visits of {report.test_viewers:,} viewers, {report.mean_live:.1f} rooms live at one; "
        f"learned from {report.learned_visits:,} of {report.train_visits:,} visits before",
        "",
        f"{'NDCG@10':22}" + "".join(f"{kind:^22}" for kind in SHOWN),
        *_rows(report, "NDCG@10"),
    ]
    for metric in ("Recall@1", "Recall@10", "MRR"):
        lines += ["", f"{metric:22}", *_rows(report, metric)]
    lines += ["", f"{'NDCG@10 by visits that the channel had had before':51}"]
    lines += [f"  {name:20}" + _cells(result.histories, "NDCG@10") for name, result in report.results.items()]
    lines.insert(-len(report.results), f"{'':22}" + "".join(f"{key:^22}" for key in _first(report).histories))
    lines += ["", f"{'first ten places':22}{'Gini':>8}{'small channels':>17}{'coverage':>11}{'µs a visit':>13}"]
    for name, result in report.results.items():
        spread = result.spread
        lines.append(
            f"  {name:20}{spread.gini:8.3f}{spread.small_share:17.3f}{spread.coverage:11.3f}{result.score_us:13.0f}"
        )
    lines.append("small channels: the half with the fewest visits in the training part")
    return "\n".join(lines)


def as_json(report: Report, rankers: Sequence[Ranker], args: argparse.Namespace) -> dict[str, Any]:
    """For scripts: the report, what it was made from, and what the rankers learned."""
    from training.boosting import Boosting  # noqa: PLC0415
    from training.rankers import MemoryAndMoves, Popularity  # noqa: PLC0415

    learned: dict[str, Any] = {}
    for ranker in rankers:
        if isinstance(ranker, Popularity):
            learned[ranker.name] = ranker.column
        if isinstance(ranker, MemoryAndMoves):
            learned[ranker.name] = {"column": ranker.column, "prior": ranker.prior}
        if isinstance(ranker, Boosting):
            learned[ranker.name] = ranker.importance()
    split = {name: [str(path) for path in getattr(args, name)] for name in ("train", "test")}
    windows = {
        name: dataclasses.asdict(chosen) if (chosen := getattr(args, name)) else None
        for name in ("train_windows", "test_windows")
    }
    return {"split": {**split, **windows}, "seed": args.seed, "learned": learned, **dataclasses.asdict(report)}


def _first(report: Report) -> Any:
    return next(iter(report.results.values()))


def _rows(report: Report, metric: str) -> list[str]:
    counts = {name: _first(report).groups[name].visits for name in SHOWN}
    head = [f"{'  visits':22}" + "".join(f"{counts[name]:^22,}" for name in SHOWN)] if metric == "NDCG@10" else []
    return head + [f"  {name:20}" + _cells(result.groups, metric) for name, result in report.results.items()]


def _cells(groups: Any, metric: str) -> str:
    return "".join(f"{_cell(group, metric):^22}" for group in groups.values())


def _cell(group: Group, metric: str) -> str:
    if not group.visits:
        return "no visits"
    interval = group.metrics[metric]
    return f"{interval.mean:.3f} ({interval.low:.3f}-{interval.high:.3f})".replace("0.", ".")


def _check_outputs(args: argparse.Namespace, chosen: str) -> None:
    """Says before the work, not after it, that its result could not be kept."""
    from streaming.errors import ConfigError  # noqa: PLC0415

    for option, path in (("--json", args.json), ("--rankings", args.rankings)):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{option} {path}: no folder {path.parent}; create it first")
    if args.rankings and chosen not in args.rankers:
        raise ConfigError(f"--rankings-of {chosen}: not among --rankers {', '.join(args.rankers)}")


def _windows(text: str) -> Windows:
    from training.chat import Windows  # noqa: PLC0415

    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} is not A:B with A below B, such as 0:40 for windows 0 to 39")
    return Windows(int(first), int(end))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return int(text)
