"""A section checks what its annotations declare, says it in words, and keeps rules between values."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import pytest
from msgspec import Meta

from deploy.config.settings import Settings, known_keys
from streaming.errors import ConfigError
from streaming.section import Count, Positive, PositiveShare, Section


@dataclass(frozen=True, slots=True)
class Oven(Section):
    """A section for these tests."""

    section: ClassVar[str] = "oven"

    trays: Count = 1
    degrees: Annotated[int, Meta(ge=50, le=250, multiple_of=5)] = 180
    share: PositiveShare = 1.0
    hours: Positive = 1.0
    heat: Literal["top", "bottom", "both"] = "both"
    label: str = ""

    def check(self) -> None:
        if self.heat == "top" and self.degrees > 200:
            raise ConfigError(f"oven.degrees is {self.degrees}; it must be at most 200 with oven.heat top")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trays": 0}, "oven.trays is 0; it must be at least 1"),
        ({"trays": True}, "oven.trays is True; it must be at least 1"),
        ({"degrees": 49}, "oven.degrees is 49; it must be at least 50 and at most 250 and a multiple of 5"),
        ({"degrees": 52}, "oven.degrees is 52; it must be at least 50 and at most 250 and a multiple of 5"),
        ({"share": 0.0}, "oven.share is 0.0; it must be above 0 and at most 1"),
        ({"share": 1.01}, "oven.share is 1.01; it must be above 0 and at most 1"),
        ({"hours": math.nan}, "oven.hours is nan; it must be above 0"),
        ({"heat": "left"}, "oven.heat is 'left'; it must be top, bottom or both"),
        ({"heat": "top", "degrees": 230}, "oven.degrees is 230; it must be at most 200 with oven.heat top"),
    ],
)
def test_a_value_beyond_its_declaration_is_refused_with_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Oven(**values)
    assert str(caught.value) == message


def test_bounds_hold_for_copies_and_an_integer_is_a_number() -> None:
    oven = Oven(trays=2, hours=3)
    assert replace(oven, degrees=250).degrees == 250
    assert pickle.loads(pickle.dumps(oven)) == oven
    with pytest.raises(ConfigError, match=r"oven\.trays is -1"):
        replace(oven, trays=-1)


def sections() -> list[type[Section]]:
    """Every section of the configuration, subsections included."""
    found: list[type[Section]] = []
    waiting: list[type] = [Settings]
    while waiting:
        kinds = get_type_hints(waiting.pop())
        inner = [kind for kind in kinds.values() if isinstance(kind, type) and is_dataclass(kind)]
        waiting += inner
        found += [kind for kind in inner if issubclass(kind, Section)]
    return found


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.section)
def test_a_section_is_called_in_messages_what_it_is_called_in_the_file(section: type[Section]) -> None:
    names = {key.name for key in known_keys()}
    assert all(
        f"{section.section}.{each.name}" in names or is_dataclass(get_type_hints(section)[each.name])
        for each in fields(section)
    )


def just_beyond(meta: Meta) -> list[float]:
    """A value beyond each bound."""
    beyond: list[float] = []
    beyond += [meta.ge - 1] if meta.ge is not None else []
    beyond += [meta.gt] if meta.gt is not None else []
    beyond += [meta.le + 1] if meta.le is not None else []
    beyond += [meta.lt] if meta.lt is not None else []
    return beyond


def bounded() -> list[tuple[type[Section], str, float]]:
    found = []
    for section in sections():
        for name, kind in get_type_hints(section, include_extras=True).items():
            if get_origin(kind) is Annotated:
                found += [(section, name, value) for meta in get_args(kind)[1:] for value in just_beyond(meta)]
    return found


@pytest.mark.parametrize(("section", "name", "value"), bounded(), ids=str)
def test_every_declared_bound_of_the_configuration_is_kept(section: type[Section], name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^{section.section}\.{name} is "):
        section(**{name: value})
