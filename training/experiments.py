"""Experiments: which viewers see which variant. The same in every replica and in the report. Never scores a room.

A viewer's place is a hash of a salt and the viewer's id, so nothing has to be stored or looked up. Experiments in
different layers are independent: each layer has a salt of its own, so viewers of one experiment are divided evenly
among the variants of the other. Experiments that must not meet share a layer, and have parts of it that do not
overlap. Layers: Tang et al., Overlapping Experiment Infrastructure: More, Better, Faster Experimentation, KDD 2010.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from streaming.errors import ConfigError
from streaming.events import Assignment
from streaming.operator_rule import MAX_RULES, GoalWeights, RuleName
from streaming.section import Section

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
WHOLE = 1.0 + 1e-9  # shares are decimal fractions, whose sums are not exact
PLACE_BYTES = 6  # 48 bits, which a float holds exactly: a place is never 1
PLACES = float(1 << 8 * PLACE_BYTES)
LIVE, BASELINE = "", "v0"
MAX_RULE_SETS = 64  # each has columns over all rooms in every replica

RuleNames = Annotated[tuple[RuleName, ...], Meta(max_length=MAX_RULES)]


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the viewers of a variant get. Whatever can be switched is a field here, and read in `Treatment`."""

    name: str
    weight: Annotated[float, Meta(gt=0)] = 1.0  # share of the experiment's viewers, relative to the others'
    version: str = LIVE  # "": the live version; "v0": its rooms ordered by the baseline ranker; or a version's name
    goals: GoalWeights = {}  # what lists are for where a request does not say, as its goals; empty: as ever
    rules_on: RuleNames = ()  # operators' rules that are switched off, and hold for these viewers
    rules_off: RuleNames = ()  # operators' rules that do not hold for these viewers

    @property
    def rules(self) -> frozenset[str]:
        """Names of the operators' rules that it switches on or off."""
        return frozenset((*self.rules_on, *self.rules_off))


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment. The first variant is the control, with which others are compared."""

    name: str
    variants: Annotated[tuple[Variant, ...], Meta(min_length=2, max_length=20)]
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0  # of all viewers
    salt: str = ""  # another one draws other viewers, and divides them anew; "": the name
    layer: str = ""  # experiments of one layer share no viewer; "": one of its own
    start: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # where in the layer its share begins

    @property
    def rules(self) -> frozenset[str]:
        """Names of the operators' rules that its variants switch on or off."""
        return frozenset(name for variant in self.variants for name in variant.rules)

    def variant_of(self, viewer: str) -> Variant | None:
        """The viewer's variant, None where the viewer is not in the experiment."""
        if self.share < 1:
            layer = f"layer {self.layer}" if self.layer else f"share {self.salt or self.name}"
            if not self.start <= place_of(layer, viewer) < self.start + self.share:
                return None
        return self.variants[self.index_of(viewer, self.salt or self.name)]

    def index_of(self, viewer: str, salt: str) -> int:
        """Which variant a viewer of the experiment would have under a salt."""
        at = place_of(f"variant {salt}", viewer) * sum(variant.weight for variant in self.variants)
        for index, variant in enumerate(self.variants):
            at -= variant.weight
            if at < 0:
                return index
        return len(self.variants) - 1


def place_of(salt: str, viewer: str) -> float:
    """A viewer's place in [0, 1): evenly spread over viewers, and independent for different salts."""
    digest = blake2b(f"{salt}\0{viewer}".encode("utf-8", "surrogatepass"), digest_size=PLACE_BYTES).digest()
    return int.from_bytes(digest) / PLACES


@dataclass(frozen=True, slots=True)
class ExperimentsConfig(Section):
    """The experiments that are running."""

    section: ClassVar[str] = "experiments"

    running: tuple[Experiment, ...] = ()

    def check(self) -> None:
        by_layer: dict[str, list[Experiment]] = {}
        for experiment in self.running:
            _check(experiment)
            by_layer.setdefault(experiment.layer or f"\0{experiment.name}", []).append(experiment)
        names = [experiment.name for experiment in self.running]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"experiments.running has {name!r} twice; each experiment has a name of its own")
        for layer, experiments in by_layer.items():
            _check_layer(layer, experiments)
        _check_rule_sets(by_layer.values())

    @property
    def by_name(self) -> Mapping[str, Experiment]:
        """The experiments by name."""
        return {experiment.name: experiment for experiment in self.running}


def _check(experiment: Experiment) -> None:
    """Raises ConfigError: a name cannot be one, or the share goes over its layer's end."""
    said = f"experiments.running, {experiment.name!r}"
    names = [variant.name for variant in experiment.variants]
    for name in (experiment.name, *names):
        if not NAME.fullmatch(name):
            raise ConfigError(f"{said}: the name {name!r} must be 1 to 64 of A-Z a-z 0-9 . _ -")
    if len({*names}) < len(names):
        raise ConfigError(f"{said}: two variants have one name: {', '.join(names)}")
    for variant in experiment.variants:
        if both := {*variant.rules_on} & {*variant.rules_off}:
            raise ConfigError(f"{said}: {variant.name!r} has the rule {min(both)!r} both on and off")
    if experiment.start + experiment.share > WHOLE:
        raise ConfigError(
            f"{said}: start {experiment.start:g} and share {experiment.share:g} go over the end of the layer, 1"
        )


def _check_layer(layer: str, experiments: Sequence[Experiment]) -> None:
    """Raises ConfigError: two experiments of a layer would share viewers."""
    ordered = sorted(experiments, key=lambda one: one.start)
    for before, after in pairwise(ordered):
        if before.start + before.share > after.start + (WHOLE - 1):
            raise ConfigError(
                f"experiments.running: {before.name!r} and {after.name!r} overlap in the layer {layer!r}: "
                f"the first has {before.start:g} to {before.start + before.share:g}, the second begins at "
                f"{after.start:g}"
            )


def _check_rule_sets(layers: Iterable[Sequence[Experiment]]) -> None:
    """Raises ConfigError: viewers would be under more different sets of operators' rules than replicas keep."""
    sets = 1
    for experiments in layers:
        sets *= 1 + sum(bool(variant.rules) for experiment in experiments for variant in experiment.variants)
    if sets > MAX_RULE_SETS:
        raise ConfigError(
            f"experiments.running: by the rules that their variants switch, viewers are under {sets} different sets of "
            f"rules; at most {MAX_RULE_SETS}. Put such experiments into one layer, or run fewer at a time"
        )


@dataclass(frozen=True, slots=True)
class Assigned:
    """A viewer's variants of the experiments that they are in."""

    variants: tuple[tuple[Experiment, Variant], ...]

    @property
    def noted(self) -> tuple[Assignment, ...]:
        """As impressions have them."""
        return tuple(Assignment(experiment.name, variant.name) for experiment, variant in self.variants)


def assigned(experiments: Sequence[Experiment], viewer: str) -> Assigned:
    """The variants of a viewer."""
    found = [(experiment, variant) for experiment in experiments if (variant := experiment.variant_of(viewer))]
    return Assigned(tuple(found))
