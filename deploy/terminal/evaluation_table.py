"""The tables that `tidecast evaluate` prints: figures of the rankers, and of the towers of versions. Never measures."""

from __future__ import annotations

from collections.abc import Mapping

from training.evaluation.metrics import METRICS, Group, Interval
from training.evaluation.report import Report, Result
from training.evaluation.tower_diagnostics import PREFIXES, Gates, Towers

SHOWN = ("all", "repeat", "new", "cold")
NAMES = 34  # characters of the name of a ranker, or of a version
WIDTH = 22  # cells of a figure with its interval
WIDER = 26  # cells of a difference with its signs


def table(report: Report) -> str:
    """The tables of all metrics: by kind of visit, as differences to the reference, by group, and the spread."""
    lines = [
        f"{report.test_visits:,} visits of {report.test_viewers:,} viewers, {report.mean_live:.1f} rooms live at one; "
        f"learned from {report.learned_visits:,} of {report.train_visits:,} visits before"
    ]
    if report.cold_streamers:
        lines.append(f"{report.cold_streamers} streamers were held out: they said nothing before the test")
    for metric in METRICS:
        lines += [
            "",
            f"{metric:{NAMES}}" + ("".join(f"{kind:^{WIDTH}}" for kind in SHOWN) if metric == METRICS[0] else ""),
        ]
        lines += _counts(_first(report).groups) if metric == METRICS[0] else []
        lines += [_row(name, result.groups, metric) for name, result in report.results.items()]
    if report.against:
        lines += _differences(report)
    lines += _columns(f"{METRICS[0]} by visits that the channel had had before", report, "histories")
    lines += _columns(f"{METRICS[0]} of visits apart", report, "apart")
    return "\n".join([*lines, *_spread(report.results)])


def _differences(report: Report) -> list[str]:
    """Differences to the reference; one whose interval does not include 0 is marked."""
    groups = [*SHOWN, *_first(report).apart]
    lines = [
        "",
        f"{METRICS[0]}, difference to {report.against}; * where the interval does not include 0",
        _head(groups),
    ]
    for name, result in report.results.items():
        if name != report.against:
            cells = [_difference(result.differences.get(group)) for group in groups]
            lines.append(f"  {name:{NAMES - 2}}" + "".join(f"{cell:^{WIDER}}" for cell in cells))
    return lines


def _difference(found: Mapping[str, Interval] | None) -> str:
    if found is None:
        return "no visits"
    interval = found[METRICS[0]]
    certain = "*" if interval.low > 0 or interval.high < 0 else " "
    return f"{interval.mean:+.4f} ({interval.low:+.4f} {interval.high:+.4f})".replace("0.", ".") + certain


def _columns(title: str, report: Report, which: str) -> list[str]:
    groups: Mapping[str, Group] = getattr(_first(report), which)
    rows = [_row(name, getattr(result, which), METRICS[0]) for name, result in report.results.items()]
    return ["", title, _head(list(groups)), *_counts(groups), *rows]


def _head(groups: list[str], width: int = WIDTH) -> str:
    return f"{'':{NAMES}}" + "".join(f"{group:^{width}}" for group in groups)


def _counts(groups: Mapping[str, Group]) -> list[str]:
    return [f"{'  visits':{NAMES}}" + "".join(f"{group.visits:^{WIDTH},}" for group in groups.values())]


def _row(name: str, groups: Mapping[str, Group], metric: str) -> str:
    return f"  {name:{NAMES - 2}}" + "".join(f"{_cell(group, metric):^{WIDTH}}" for group in groups.values())


def _cell(group: Group, metric: str) -> str:
    if not group.visits:
        return "no visits"
    interval = group.metrics[metric]
    return f"{interval.mean:.3f} ({interval.low:.3f}-{interval.high:.3f})".replace("0.", ".")


def _spread(results: Mapping[str, Result]) -> list[str]:
    heads = f"{'Gini':>8}{'small channels':>17}{'coverage':>11}{'µs a visit':>13}{'request':>10}"
    lines = ["", f"{'first ten places':{NAMES}}{heads}"]
    for name, result in results.items():
        spread = result.spread
        figures = f"{spread.gini:8.3f}{spread.small_share:17.3f}{spread.coverage:11.3f}{result.score_us:13.0f}"
        figures += f"{result.request_us:10.0f}"
        lines.append(f"  {name:{NAMES - 2}}{figures}")
    return [
        *lines,
        "small channels: the half with the fewest visits in the training part",
        "µs a visit: from its features to its scores; request: of it, what is left once a model knows rooms and viewer",
    ]


def _first(report: Report) -> Result:
    return next(iter(report.results.values()))


def towers_table(towers: Mapping[str, Towers]) -> str:
    """The table of towers: mean λ by a streamer's visits, and their recall by vector length. towers: at least one."""
    bins = next(iter(towers.values())).gates
    lines = [
        "",
        "mean λ, how far content counts, of streamers by their visits in the training part (and how many they are)",
        f"{'':{NAMES}}" + "".join(f"{_range(one):>18}" for one in bins),
    ]
    for name, found in towers.items():
        lines.append(f"  {name:{NAMES - 2}}" + "".join(f"{_gate(one):>18}" for one in found.gates))
    lines += [
        "",
        "Recall@10 of the towers alone, by the first dimensions of their vectors (and the share kept of all)",
        f"{'':{NAMES}}" + "".join(f"{dimensions:>18}" for dimensions in PREFIXES[:-1]) + f"{PREFIXES[-1]:>22}",
    ]
    for name, found in towers.items():
        whole = found.whole
        cells = [f"{found.recall[some]:.3f} ({_share(found.recall[some], whole.mean)})" for some in PREFIXES[:-1]]
        figure = f"{whole.mean:.3f} ({whole.low:.3f}-{whole.high:.3f})".replace("0.", ".")
        lines.append(f"  {name:{NAMES - 2}}" + "".join(f"{cell:>18}" for cell in cells) + f"{figure:>22}")
    return "\n".join(lines)


def _share(recall: float, whole: float) -> str:
    return f"{recall / whole:.1%}" if whole else "-"


def _range(gates: Gates) -> str:
    if gates.high >= 2**62:
        return f"{gates.low:,} or more"
    return f"{gates.low}" if gates.high == gates.low + 1 else f"{gates.low} to {gates.high - 1}"


def _gate(gates: Gates) -> str:
    return "none" if gates.mean is None else f"{gates.mean:.3f} ({gates.streamers})"
