"""The secrets among the settings: taken out before these travel, read again where they are used. Never printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from deploy.config.key import EnvText, Key, convert, is_secret
from streaming.errors import ConfigError

if TYPE_CHECKING:
    from deploy.config.settings import Settings


def without_secrets(settings: Settings) -> Settings:
    """The settings with every secret empty: what is pickled for a replica can be read by whoever reads Ray's memory."""
    return _replaced(settings, {key.name: "" for key in _secrets()})


def with_secrets(settings: Settings, environ: Mapping[str, str], component: str) -> Settings:
    """The settings as one process uses them: secrets from its own environment, and its component's user of Kafka.

    Raises ConfigError where Kafka has a user and this process no password for it.
    """
    given = {
        key.name: convert(EnvText(environ[key.variable]), key, f"env {key.variable}")
        for key in _secrets()
        if key.variable in environ
    }
    settings = _replaced(settings, given)
    kafka = settings.kafka.as_component(component)
    if kafka.sasl_plain_username and not (kafka.sasl_plain_password or kafka.sasl_credentials_file):
        raise ConfigError(
            f"kafka.sasl_plain_username is {kafka.sasl_plain_username!r}, and this process has no password for it. "
            "Secrets do not travel to a cluster: set TIDECAST_KAFKA__SASL_PLAIN_PASSWORD on each host before its "
            "`ray start`, or kafka.sasl_credentials_file"
        )
    return dataclasses.replace(settings, kafka=kafka)


def _secrets() -> list[Key]:
    from deploy.config.settings import known_keys  # noqa: PLC0415  it names every section

    return [key for key in known_keys() if is_secret(key.name)]


def _replaced(settings: Settings, values: Mapping[str, object]) -> Settings:
    for name, value in values.items():
        section, _, key = name.partition(".")
        changed = dataclasses.replace(getattr(settings, section), **{key: value})
        settings = dataclasses.replace(settings, **{section: changed})
    return settings
