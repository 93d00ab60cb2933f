"""Settings as TOML that loads to the same settings. Never reads a file; never prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.config.key import is_secret

if TYPE_CHECKING:
    from deploy.config.settings import Settings


def values(settings: Settings) -> Iterator[tuple[str, object]]:
    """Every key and its value, in the order of `Settings`."""
    from deploy.config.settings import known_keys  # noqa: PLC0415  it names every section

    for key in known_keys():
        value: object = settings
        for part in key.name.split("."):
            value = getattr(value, part)
        yield key.name, value


def as_toml(settings: Settings, *, but: Settings, comment: str = "") -> str:
    """The settings that differ from those of `but`, without secrets, which no file may hold."""
    others = dict(values(but))
    lines = [f"# {comment}"] if comment else []
    current = ""
    for name, value in values(settings):
        if value == others[name] or value is None or is_secret(name):
            continue
        section, _, key = name.rpartition(".")
        if section != current:
            lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
            current = section
        lines.append(f"{key} = {literal(value)}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text as TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def literal(value: object, quote: Callable[[str], str] = quoted) -> str:
    """A value as TOML has it. Raises TypeError: TOML has no such value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return quote(str(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quote(str(key))} = {literal(item, quote)}" for key, item in value.items()) + "}"
    if isinstance(value, msgspec.Struct):
        return literal(msgspec.to_builtins(value), quote)
    if isinstance(value, tuple | list | frozenset):
        return "[" + ", ".join(literal(item, quote) for item in value) + "]"
    raise TypeError(f"a configuration value of type {type(value).__name__} has no TOML form")
