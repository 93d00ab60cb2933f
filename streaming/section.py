"""A section of the configuration: a frozen dataclass whose annotations declare the allowed values.

Imports nothing heavy. Every process, and every `tidecast ... --help`, reads the settings.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from streaming.errors import ConfigError

Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
ShareBelowOne = Annotated[float, Meta(ge=0, lt=1)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
PortOrZero = Annotated[int, Meta(ge=0, le=65_535)]


_DECLARED: dict[type, dict[str, Any]] = {}


class Section:
    """Base class of all sections. Each new instance checks its declared bounds, then the rules between values.

    A bound is declared in the field's annotation: `Annotated[int, Meta(ge=1)]`, or a Literal.
    """

    __slots__ = ()
    section: ClassVar[str]  # the name in TOML, for messages

    def __post_init__(self) -> None:
        """Raises ConfigError at the first value that its annotation does not allow."""
        for name, kind in _declared(type(self)).items():
            value = getattr(self, name)
            try:
                msgspec.convert(value, kind)
            except msgspec.ValidationError as err:
                said = repr(value) if isinstance(value, str) else value
                raise ConfigError(f"{self.section}.{name} is {said}; it must be {_in_words(kind)}") from err
        self.check()

    def check(self) -> None:
        """Checks rules between values, in sections that have some. Raises ConfigError."""


def _declared(section: type[Section]) -> dict[str, Any]:
    """The annotations that declare bounds, by field."""
    if (known := _DECLARED.get(section)) is None:
        kinds = get_type_hints(section, include_extras=True)
        known = {name: kind for name, kind in kinds.items() if get_origin(kind) in (Annotated, Literal)}
        _DECLARED[section] = known
    return known


def _in_words(kind: Any) -> str:
    """A declaration in words: "at least 1", "above 0 and at most 1", "fp32 or bf16"."""
    if get_origin(kind) is Literal:
        *others, last = map(str, get_args(kind))
        return f"{', '.join(others)} or {last}" if others else last
    said = []
    for meta in get_args(kind)[1:]:
        bounds = (("at least", meta.ge), ("above", meta.gt), ("at most", meta.le), ("below", meta.lt))
        said += [f"{words} {bound}" for words, bound in bounds if bound is not None]
        said += [f"a multiple of {meta.multiple_of}"] if meta.multiple_of is not None else []
    return " and ".join(said)
