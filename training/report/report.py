"""The report: all figures of a time, as records. Never prints, never reads the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.experiments import Experiment
from training.report.attribution import JoinCounts, Joined
from training.report.breakdown import DIMENSIONS, Dimension, Figures, by, whole
from training.report.clustered_ratio import Difference, Ratio
from training.report.comparison import Comparison, VariantFigures, by_name


@dataclass(frozen=True, slots=True)
class Report:
    """What viewers made of what they were shown. Times: append times of the first and last record read, in ms."""

    from_ms: int
    until_ms: int
    window_s: int
    answers: int
    repeated: int
    unsettled: int
    events: int
    visits: JoinCounts
    follows: JoinCounts
    all: Figures
    by: Mapping[Dimension, list[Figures]]
    experiments: list[Comparison]


def report_of(
    joined: Joined,
    window_s: int,
    experiments: Mapping[str, Experiment],
    dimensions: Sequence[str] = DIMENSIONS,
) -> Report:
    """The figures of joined events. experiments: as the configuration has them now."""
    shown = joined.shown
    return Report(
        from_ms=joined.from_ms,
        until_ms=joined.until_ms,
        window_s=window_s,
        answers=shown.answers,
        repeated=joined.repeated,
        unsettled=joined.unsettled,
        events=joined.events,
        visits=joined.visits,
        follows=joined.follows,
        all=whole(shown),
        by={dimension: by(shown, dimension) for dimension in DIMENSIONS if dimension in dimensions},
        experiments=by_name(experiments, shown),
    )


def as_dict(report: Report) -> dict[str, Any]:
    """The report as JSON has it; what is not known is null."""
    return {
        "from_ms": report.from_ms,
        "until_ms": report.until_ms,
        "window_s": report.window_s,
        "answers": report.answers,
        "repeated_answers": report.repeated,
        "unsettled_answers": report.unsettled,
        "events": report.events,
        "visits": asdict(report.visits),
        "follows": asdict(report.follows),
        "all": _figures(report.all),
        **{dimension: [_figures(one) for one in rows] for dimension, rows in report.by.items()},
        "experiments": [_comparison(one) for one in report.experiments],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "name": figures.name,
        "viewers": figures.viewers,
        "impressions": figures.impressions,
        "enters": figures.enters,
        "follows": figures.follows,
        "enter_per_impression": _interval(figures.enter),
        "stay_s_per_impression": _interval(figures.stay_s),
        "follow_per_impression": _interval(figures.follow),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    sample = comparison.sample
    return {
        "experiment": comparison.experiment,
        "mixed_viewers": comparison.mixed,
        "moved_viewers": comparison.moved,
        "sample_ratio": None if sample is None else {**asdict(sample), "mismatch": sample.mismatch},
        "variants": [_variant(variant) for variant in comparison.variants],
    }


def _variant(variant: VariantFigures) -> dict[str, Any]:
    differences = {"enter": variant.enter, "stay_s": variant.stay_s, "follow": variant.follow}
    return {
        **_figures(variant.figures),
        "difference": {name: None if found is None else _interval(found) for name, found in differences.items()},
    }


def _interval(found: Ratio | Difference) -> dict[str, Any]:
    values = {"value": found.value, "low": found.low, "high": found.high}
    if isinstance(found, Difference):
        values["p"] = found.p
    return {name: None if math.isnan(value) else round(value, 9) for name, value in values.items()}
