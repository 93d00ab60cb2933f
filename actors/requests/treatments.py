"""What orders an answer: the version that its caller names, or its viewer's variant. Never scores a room.

A variant may name the version that its viewers get, goals, and operators' rules that hold for them alone or not for
them. An experiment is in force in a replica while all that its variants name can be had there: the baseline ranker
always, any other version while it is live, goals while a learned version is live, a rule while there is one that has
started and not ended. Otherwise its viewers are in no variant, the control's neither, so that the variants stay
comparable. An answer by a version that its caller has named is in no experiment: it would be counted for a variant that
did not make it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from actors.requests.goals import Goals
from actors.requests.wanted_goals import goals_by_name
from actors.rules.book import OperatorRules
from streaming.errors import RequestError
from streaming.events import Assignment
from training.experiments import BASELINE, LIVE, Experiment, assigned

LOGGER = logging.getLogger(__name__)

NO_NAMES: frozenset[str] = frozenset()
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
    learned version is live. goals: what the list is for where the request does not say; None: no variant says it.
    rules_on: names of operators' rules that hold though they are switched off. rules_off: of those that do not hold.
    version: the one that the caller has named, "" for none.
    """

    noted: tuple[Assignment, ...] = ()
    by_baseline: bool = False
    goals: Goals | None = None
    rules_on: frozenset[str] = NO_NAMES
    rules_off: frozenset[str] = NO_NAMES
    version: str = ""

    @property
    def named(self) -> dict[str, str]:
        """The variants by experiment, as the answer has them."""
        return {one.experiment: one.variant for one in self.noted}


NONE = Treatment()


class Treatments:
    """Chooses the treatment of each viewer. The caller holds the tables' lock."""

    def __init__(self, experiments: Sequence[Experiment], rules: OperatorRules | None = None) -> None:
        """rules: of the operators; None: there are none."""
        self._experiments = tuple(experiments)
        self._rules = rules
        self._as_of = "", -1  # the live version, and the turns of the rules
        self._in_force: tuple[Experiment, ...] = ()
        variants = [(one.name, variant) for one in experiments for variant in one.variants]
        self._goals = {(name, one.name): goals_by_name(one.goals) for name, one in variants if one.goals}
        self._lacking: dict[str, str] = {}  # what was last said of the rules that an experiment lacks
        if rules is not None:
            rules.offer(name for one in experiments for variant in one.variants for name in variant.rules_on)

    def __bool__(self) -> bool:
        return bool(self._experiments)

    def of(self, viewer: str, version: str, asked: str = "") -> Treatment:
        """The treatment of a viewer. version: the live one. asked: the version that the caller names, "" for none.

        Of two experiments that differ on a rule, off counts. Of two that have goals, the first one's count. Raises
        RequestError: neither the live version nor the baseline ranker has the name that is asked for.
        """
        if asked:
            return _named(asked, version)
        as_of = version, 0 if self._rules is None else self._rules.turns
        if as_of != self._as_of:
            self._as_of = as_of
            self._in_force = tuple([one for one in self._experiments if _served(one, version) and self._has_rules(one)])
        found = assigned(self._in_force, viewer)
        if not found.variants:
            return NONE
        variants = [variant for _, variant in found.variants]
        by_baseline = any(variant.version == BASELINE for variant in variants)
        on, off = NO_NAMES, NO_NAMES
        for variant in variants:
            if variant.rules_on or variant.rules_off:
                on, off = on.union(variant.rules_on), off.union(variant.rules_off)
        goals = next((self._goals[one.name, variant.name] for one, variant in found.variants if variant.goals), None)
        return Treatment(found.noted, by_baseline, goals, on - off, off)

    def _has_rules(self, experiment: Experiment) -> bool:
        """Whether every rule that the variants name can be switched. Where not, it is logged, once for each reason."""
        names = sorted(experiment.rules)
        if self._rules is None:
            return not names
        lacking = "; ".join(filter(None, map(self._rules.not_switchable, names)))
        if lacking and lacking != self._lacking.get(experiment.name):
            LOGGER.warning("experiment %s is not in force: %s", experiment.name, lacking)
        if not lacking and self._lacking.get(experiment.name):
            LOGGER.info("experiment %s is in force now", experiment.name)
        self._lacking[experiment.name] = lacking
        return not lacking


def _served(experiment: Experiment, version: str) -> bool:
    """Whether what the variants name can be had while `version` is live: versions, and heads for goals."""
    has_goals = any(variant.goals for variant in experiment.variants)
    if has_goals and version == BASELINE:
        return False
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
