"""The output of `tidecast report`: figures as tables, and in words how events were joined. Never computes a figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from deploy.terminal.columns import Column, table
from deploy.terminal.console import console
from training.report.attribution import JoinCounts
from training.report.breakdown import Figures
from training.report.clustered_ratio import Difference, Ratio
from training.report.comparison import Comparison, VariantFigures
from training.report.report import Report

FIGURES = (
    Column("viewers", rank=3, right=True),
    Column("impressions", rank=2, right=True),
    Column("enters", rank=4, right=True),
    Column("entered %", right=True),
    Column("stay s", rank=1, right=True),
    Column("followed %", rank=1, right=True),
)
AGAINST = (
    Column("viewers", rank=3, right=True),
    Column("impressions", rank=2, right=True),
    Column("entered %", right=True),
    Column("difference", right=True),
    Column("p", right=True),
    Column("stay s", rank=2, right=True),
    Column("difference", rank=1, right=True),
    Column("p", rank=1, right=True),
    Column("followed %", rank=4, right=True),
    Column("difference", rank=4, right=True),
    Column("p", rank=4, right=True),
)
LEAST_P = 0.0001


def draw(report: Report) -> None:
    """Prints the report."""
    out = console()
    for line in _summary(report):
        out.print(line, highlight=False)
    rows = [("", [report.all]), *report.by.items()]
    for name, figures in rows:
        out.print()
        out.print(table((Column(name), *FIGURES), [_row(one) for one in figures], out.width))
    for comparison in report.experiments:
        out.print()
        heading = Column(f"experiment {comparison.experiment}", least=12)
        out.print(table((heading, *AGAINST), [_compared(one) for one in comparison.variants], out.width))
        for line in _notes(comparison):
            out.print(line, highlight=False)


def _summary(report: Report) -> Iterator[str]:
    yield f"{_time(report.from_ms)} to {_time(report.until_ms)}: {report.answers:,} answers, {report.events:,} events"
    if report.repeated:
        yield f"  {report.repeated:,} further answers had a viewer and request_id that came before, and are left out"
    if report.unsettled:
        yield f"  {report.unsettled:,} answers are of the last {report.window_s} s: what they led to may still come"
    yield f"  visits: {_joined(report.visits)}"
    yield f"  follows: {_joined(report.follows)}"
    if report.visits.other_position:
        yield f"  {report.visits.other_position:,} visits name another position than their answer, whose own counts"


def _joined(counts: JoinCounts) -> str:
    """How events were joined, and why others were not."""
    joined = f"{counts.by_request_id:,} by request_id, {counts.by_viewer_and_room:,} by viewer and room"
    others = (
        (counts.no_impression, "with no impression"),
        (counts.unknown_request_id, "of a request_id that was not noted"),
        (counts.other_room, "of an answer without the room"),
        (counts.too_late, "too late"),
    )
    return "; ".join([joined, *(f"{count:,} {why}" for count, why in others if count)])


def _row(figures: Figures) -> Sequence[str]:
    return (
        figures.name,
        f"{figures.viewers:,}",
        f"{figures.impressions:,}",
        f"{figures.enters:,}",
        _percent(figures.enter),
        _seconds(figures.stay_s),
        _percent(figures.follow),
    )


def _compared(variant: VariantFigures) -> Sequence[str]:
    figures = variant.figures
    return (
        figures.name,
        f"{figures.viewers:,}",
        f"{figures.impressions:,}",
        _percent(figures.enter),
        *_difference(variant.enter, 100),
        _seconds(figures.stay_s),
        *_difference(variant.stay_s, 1),
        _percent(figures.follow),
        *_difference(variant.follow, 100),
    )


def _notes(comparison: Comparison) -> Iterator[str]:
    sample = comparison.sample
    if sample is None:
        yield "  not in the configuration: whether viewers are divided as they should be is not known"
    elif sample.mismatch:
        said = "viewers of a variant are lost somewhere; believe no figure of it"
        yield f"  SAMPLE RATIO MISMATCH (chi-square {sample.chi_square:.2f}, p {_p(sample.p)}): {said}"
    else:
        yield f"  viewers are divided as the weights say (chi-square {sample.chi_square:.2f}, p {_p(sample.p)})"
    if comparison.mixed:
        yield f"  {comparison.mixed:,} viewers had several variants, and count in none"
    if comparison.moved:
        yield f"  {comparison.moved:,} viewers have another variant by the configuration as it is now"


def _percent(found: Ratio) -> str:
    """A share with its interval in per cent: "4.21 ±0.35"."""
    return _value(found.value * 100, found.error * 100, 2)


def _seconds(found: Ratio) -> str:
    return _value(found.value, found.error, 2)


def _value(value: float, error: float, digits: int) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.{digits}f}" + ("" if math.isnan(error) else f" ±{1.96 * error:.{digits}f}")


def _difference(found: Difference | None, times: float) -> tuple[str, str]:
    if found is None:
        return "", ""
    if math.isnan(found.p):
        return "-", "-"
    return f"{found.value * times:+.2f} ±{1.96 * found.error * times:.2f}", _p(found.p)


def _p(p: float) -> str:
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.4f}"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
