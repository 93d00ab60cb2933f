"""The variants of an experiment compared: figures, differences from the control, and the check of the sample ratio.

Never assigns a viewer: an impression says which variant its answer was of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.experiments import Experiment
from training.report.breakdown import Figures, ViewerSums, figures_of, sums_of
from training.report.clustered_ratio import Difference, difference
from training.report.sample_ratio import SampleRatio, sample_ratio
from training.report.shown_rooms import ShownRooms

NONE = -1


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """The figures of a variant. Differences are from the control; None of the control itself."""

    figures: Figures
    enter: Difference | None = None
    stay_s: Difference | None = None
    follow: Difference | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """An experiment's variants, the control first.

    sample: None where the configuration does not know the experiment, or not these variants. mixed: viewers with
    several variants, who count in none. moved: viewers who have another variant by the configuration now.
    """

    experiment: str
    variants: tuple[VariantFigures, ...]
    sample: SampleRatio | None
    mixed: int
    moved: int


def experiments_of(shown: ShownRooms) -> list[str]:
    """The experiments that impressions name, in order of their names."""
    return sorted({experiment for assignment in shown.assignments for experiment, _ in assignment})


def compare(shown: ShownRooms, name: str, experiment: Experiment | None) -> Comparison:
    """Compares the variants of an experiment. experiment: as the configuration has it, None where it does not."""
    found = sorted({variant for given in shown.assignments for of, variant in given if of == name})
    known = [variant.name for variant in experiment.variants] if experiment is not None else []
    order = [*known, *(variant for variant in found if variant not in known)]
    variant_of = [
        next((order.index(variant) for of, variant in given if of == name), NONE) for given in shown.assignments
    ]
    variant_N = np.array(variant_of, np.int32)[shown.experiments_N]
    within_N = variant_N != NONE
    sums = sums_of(shown, within_N)
    first_V, mixed_V = _variants(shown.viewer_N[within_N], variant_N[within_N], sums)
    variants = compared(order, sums, np.where(mixed_V, NONE, first_V))
    sample = None
    if experiment is not None and {*found} <= {*known}:
        counts = [variant.figures.viewers for variant in variants]
        sample = sample_ratio(counts, [variant.weight for variant in experiment.variants])
    moved = 0
    if experiment is not None:
        names_V = [shown.viewers[viewer] for viewer in sums.viewer_V.tolist()]
        moved = _moved(experiment, names_V, np.where(mixed_V, NONE, first_V).tolist(), order)
    return Comparison(name, variants, sample, int(mixed_V.sum()), moved)


def compared(names: list[str], sums: ViewerSums, variant_V: NDArray[np.int32]) -> tuple[VariantFigures, ...]:
    """The figures of each variant. variant_V: the place of each viewer's variant in `names`, NONE for none of them."""
    figures = [figures_of(name, sums.of(variant_V == place)) for place, name in enumerate(names)]
    if not figures:
        return ()
    control = figures[0]
    return (
        VariantFigures(control),
        *(
            VariantFigures(
                other,
                difference(other.enter, control.enter),
                difference(other.stay_s, control.stay_s),
                difference(other.follow, control.follow),
            )
            for other in figures[1:]
        ),
    )


def _variants(
    viewer_N: NDArray[np.int32], variant_N: NDArray[np.int32], sums: ViewerSums
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The least variant of each viewer, and whether the viewer had several."""
    place_N = np.searchsorted(sums.viewer_V, viewer_N)
    least_V = np.full(len(sums.viewer_V), np.iinfo(np.int32).max, np.int32)
    most_V = np.full(len(sums.viewer_V), NONE, np.int32)
    np.minimum.at(least_V, place_N, variant_N)
    np.maximum.at(most_V, place_N, variant_N)
    return least_V, least_V != most_V


def _moved(experiment: Experiment, viewers: Sequence[str], places: Sequence[int], names: Sequence[str]) -> int:
    """How many viewers the configuration now gives another variant, or none. places: of their variants in `names`."""
    moved = 0
    for viewer, place in zip(viewers, places, strict=True):
        variant = experiment.variant_of(viewer)
        moved += place != NONE and (variant is None or variant.name != names[place])
    return moved


def by_name(experiments: Mapping[str, Experiment], shown: ShownRooms) -> list[Comparison]:
    """The comparison of every experiment that impressions name."""
    return [compare(shown, name, experiments.get(name)) for name in experiments_of(shown)]
