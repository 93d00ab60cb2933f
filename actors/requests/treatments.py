"""What orders an answer: the version that its caller names, or its viewer's variant. Never scores a room.

A variant may name the version that its viewers get, and an experiment is in force in a replica while all versions that
its variants name can be had there: the baseline ranker always, any other one while it is live. Otherwise its viewers
are in no variant, the control's neither, so that the variants stay comparable. An answer by a version that its caller
has named is in no experiment: it would be counted for a variant that did not make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from streaming.errors import RequestError
from streaming.events import Assignment
from training.experiments import BASELINE, LIVE, Experiment, assigned

MAX_VERSION_LENGTH = 64  # of a version's name

AskedVersion = Annotated[
    str,
    Meta(
        max_length=MAX_VERSION_LENGTH,
        description='the version that ranks: "v0" for the baseline ranker, or the name of the live one; "": '
        "the live one, or what an experiment gives the viewer",
        examples=["v0"],
    ),
]


class Treatment(msgspec.Struct, frozen=True):
    """What an answer is to be made with. What a variant can switch is a field here, applied by the Recommender.

    noted: the viewer's variants, for the impression. by_baseline: the baseline ranker orders the rooms, though a
    learned version is live. version: the one that the caller has named, "" for none.
    """

    noted: tuple[Assignment, ...] = ()
    by_baseline: bool = False
    version: str = ""

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

    def of(self, viewer: str, version: str, asked: str = "") -> Treatment:
        """The treatment of a viewer. version: the live one. asked: the version that the caller names, "" for none.

        Raises RequestError: neither the live version nor the baseline ranker has the name that is asked for.
        """
        if asked:
            return _named(asked, version)
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


def _named(asked: str, version: str) -> Treatment:
    """The treatment by a version that the caller names. Raises RequestError."""
    held = dict.fromkeys((BASELINE, version))
    if asked not in held:
        can_be = " and ".join(repr(one) for one in held)
        raise RequestError(
            f"the version {asked!r} does not answer here: {can_be} can be asked for",
            field="version",
            allowed=", ".join(['"" for the live one', *(f'"{one}"' for one in held)]),
        )
    return Treatment(by_baseline=asked == BASELINE, version=asked)
