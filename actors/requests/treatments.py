"""What experiments change in an answer: the variant of its viewer, if it can be served here. Never scores a room.

A variant may name the version that its viewers get, and an experiment is in force in a replica while all versions that
its variants name can be had there: the baseline ranker always, any other one while it is live. Otherwise its viewers
are in no variant, the control's neither, so that the variants stay comparable.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streaming.events import Assignment
from training.experiments import BASELINE, LIVE, Experiment, assigned


class Treatment(msgspec.Struct, frozen=True):
    """What an answer is to be made with. What a variant can switch is a field here, applied by the Recommender.

    noted: the viewer's variants, for the impression. by_baseline: the baseline ranker orders the rooms, though a
    learned version is live.
    """

    noted: tuple[Assignment, ...] = ()
    by_baseline: bool = False

    @property
    def named(self) -> dict[str, str]:
        """The variants by experiment, as the answer has them."""
        return {one.experiment: one.variant for one in self.noted}


NONE = Treatment()


class Treatments:
    """Chooses the treatment of each viewer. The caller holds the tables' lock."""

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self._experiments = tuple(experiments)
        self._version = ""
        self._in_force: tuple[Experiment, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._experiments)

    def of(self, viewer: str, version: str) -> Treatment:
        """The treatment of a viewer. version: the live one."""
        if version != self._version:
            self._version = version
            self._in_force = tuple(one for one in self._experiments if _served(one, version))
        found = assigned(self._in_force, viewer)
        if not found.variants:
            return NONE
        by_baseline = any(variant.version == BASELINE for _, variant in found.variants)
        return Treatment(found.noted, by_baseline)


def _served(experiment: Experiment, version: str) -> bool:
    """Whether every version that the variants name can be had while `version` is live."""
    return all(variant.version in {LIVE, BASELINE, version} for variant in experiment.variants)
