"""One key of the configuration: its variable, its conversion, whether it is a secret. Never reads anything itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from streaming.errors import ConfigError
from streaming.masked_uri import MASK, masked_uri

ENV_PREFIX = "TIDECAST_"
ENV_SEPARATOR = "__"
SECRET_WORDS = {"password", "passphrase", "secret", "token"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key that may be set. name: dotted, for example "kafka.bootstrap_servers"; kind: its type annotation."""

    name: str
    kind: Any

    @property
    def variable(self) -> str:
        """The environment variable that overrides this key."""
        return ENV_PREFIX + self.name.upper().replace(".", ENV_SEPARATOR)


class EnvText(str):
    """A value from the environment, where everything is text and is parsed by the key's type."""


def convert(value: Any, key: Key, origin: str) -> Any:
    """The value as the key's type. Raises ConfigError that names key, value, expected type and origin."""
    is_text = isinstance(value, EnvText)
    try:
        raw = _parse_env(str(value), key.kind) if is_text else value
        converted = msgspec.convert(raw, key.kind, strict=not is_text, dec_hook=_path)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise msgspec.ValidationError("Expected a finite number")  # noqa: TRY301  # one place for the message
    except (msgspec.ValidationError, json.JSONDecodeError) as err:
        masked = repr(masked_value(key.name, str(value) if is_text else value))
        kind = kind_name(key.kind)
        raise ConfigError(f"{key.name} = {masked} ({origin}): expected {kind}; {err}") from err
    return converted


def _parse_env(text: str, kind: Any) -> Any:
    if get_origin(kind) not in (tuple, list, dict, Mapping, frozenset):
        return text
    if text.startswith(("[", "{")):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected {kind_name(kind)}")


def is_secret(name: str) -> bool:
    """Whether a key's value is never to be printed."""
    return not SECRET_WORDS.isdisjoint(name.rpartition(".")[2].split("_"))


def masked_value(name: str, value: object) -> object:
    """A key's value as it may be printed."""
    if isinstance(value, Mapping):
        return {key: masked_value(str(key), item) for key, item in value.items()}
    if is_secret(name) and value not in ("", None):
        return MASK
    if isinstance(value, str):
        return masked_uri(value)
    if isinstance(value, list | tuple):
        return type(value)(masked_value(name, item) for item in value)
    return value


def kind_name(kind: Any) -> str:
    """A type in words, for messages."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    return names.get(kind, str(kind).replace("typing.", "").replace("pathlib.", ""))
