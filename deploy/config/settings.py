"""The effective configuration: defaults, then a TOML file, then the environment. Never connects anything.

A section is a frozen dataclass beside the class that it configures; `Settings` lists them. A new section is two lines
here: its import and its field.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from actors.settings import (
    IndexConfig,
    IntakeConfig,
    ProfileWorkerConfig,
    RecommendConfig,
    RoomWorkerConfig,
    RulesConfig,
    SearchConfig,
    TablesConfig,
    goals_by_weight,
)
from deploy.config.console_settings import ConsoleConfig
from deploy.config.http_settings import HttpConfig
from deploy.config.key import ENV_PREFIX, ENV_SEPARATOR, EnvText, Key, convert, masked_value
from deploy.config.kubernetes_settings import KubernetesConfig
from deploy.config.line_numbers import key_lines
from deploy.config.ray_settings import RayConfig
from deploy.config.scaling_settings import ScalingConfig
from deploy.config.stream_settings import StreamConfig
from streaming.archive.config import ArchiveConfig
from streaming.errors import ConfigError
from streaming.kafka_config import KafkaConfig, LogConfig
from streaming.local_kafka import LocalKafkaConfig
from streaming.log.topics import TopicsConfig
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from training.experiments import ExperimentsConfig
from training.settings import EncoderConfig, RegistryConfig, TrainingConfig

DEFAULT_FILE = Path("tidecast.toml")

# What Kubernetes tells each pod of a Service called tidecast-...; TIDECAST_HTTP_PORT=8001 is somebody's mistake instead
SERVICE_LINK = re.compile(
    r"TIDECAST_\w*?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)=.*"
    r"|TIDECAST_\w*PORT=(tcp|udp|sctp)://.*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every section of the configuration. A field's name is the section's name in TOML and in the environment."""

    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    log: LogConfig = field(default_factory=LogConfig)
    local_kafka: LocalKafkaConfig = field(default_factory=LocalKafkaConfig)
    topics: TopicsConfig = field(default_factory=TopicsConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    room_worker: RoomWorkerConfig = field(default_factory=RoomWorkerConfig)
    profile_worker: ProfileWorkerConfig = field(default_factory=ProfileWorkerConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    tables: TablesConfig = field(default_factory=TablesConfig)
    recommend: RecommendConfig = field(default_factory=RecommendConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    rules: RulesConfig = field(default_factory=RulesConfig)
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    experiments: ExperimentsConfig = field(default_factory=ExperimentsConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    scaling: ScalingConfig = field(default_factory=ScalingConfig)
    kubernetes: KubernetesConfig = field(default_factory=KubernetesConfig)

    def __post_init__(self) -> None:
        """Raises ConfigError: goals of an experiment's variant have a weight that lists do not have."""
        for experiment in self.experiments.running:
            for variant in experiment.variants:
                goals_by_weight(variant.goals, f"experiments.running, {experiment.name!r}, {variant.name!r}: goals")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and the origin of each value that is not a default, by dotted key."""

    settings: Settings
    origins: Mapping[str, str]

    def origin(self, name: str) -> str:
        """The origin of a key's value: `default`, `FILE:LINE` or `env VARIABLE`."""
        return self.origins.get(name, "default")


def load(path: Path | None, environ: Mapping[str, str], beneath: Path | None = None) -> Loaded:
    """Reads `path` (None: ./tidecast.toml where there is one) and `environ` over the defaults.

    beneath: a file that is read before `path`, which wins over it; with it, no ./tidecast.toml is looked for.

    Raises ConfigError: a missing or broken file, an unknown section or key, a wrong type, a value out of its range.
    """
    if path is None and beneath is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    keys = {key.name: key for key in known_keys()}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value, origin in (*_from_file(beneath, keys), *_from_file(path, keys), *_from_environ(environ, keys)):
        values[name] = convert(value, keys[name], origin)
        origins[name] = origin
    return Loaded(cast(Settings, _build(Settings, "", values, origins)), origins)


def known_keys(section: type = Settings, prefix: str = "") -> Iterator[Key]:
    """Every key that may be set, in the order of `Settings`; a section's own keys before those of its subsections."""
    kinds = get_type_hints(section)
    names = [item.name for item in fields(section)]
    yield from (Key(f"{prefix}{name}", kinds[name]) for name in names if not is_dataclass(kinds[name]))
    for name in names:
        if is_dataclass(kinds[name]):
            yield from known_keys(cast(type, kinds[name]), f"{prefix}{name}.")


def _from_file(path: Path | None, keys: Mapping[str, Key]) -> Iterator[tuple[str, Any, str]]:
    if path is None:
        return
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as err:
        raise ConfigError(f"cannot read the configuration {path}: {err.strerror}; check --config") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path} is not TOML: {err}") from err
    lines = key_lines(text)
    for name, value in _flatten(table, keys, ""):
        origin = f"{path}:{lines[name]}" if name in lines else str(path)
        if name not in keys:
            raise ConfigError(_unknown(name, keys, origin))
        yield name, value, origin


def _flatten(table: Mapping[str, Any], keys: Mapping[str, Key], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        dotted = prefix + name
        is_section = any(known.startswith(f"{dotted}.") for known in keys)
        if isinstance(value, dict) and dotted not in keys and (is_section or value):
            yield from _flatten(value, keys, f"{dotted}.")
        elif is_section:
            raise ConfigError(
                f"{dotted} = {masked_value(dotted, value)!r}: {dotted} is a section; write it as [{dotted}]"
            )
        else:
            yield dotted, value


def _from_environ(environ: Mapping[str, str], keys: Mapping[str, Key]) -> Iterator[tuple[str, Any, str]]:
    variables = {key.variable: key for key in keys.values()}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX):
            continue
        if variable in variables:
            key = variables[variable]
            yield key.name, EnvText(environ[variable]), f"env {variable}"
        elif ENV_SEPARATOR in variable:
            dotted = variable.removeprefix(ENV_PREFIX).lower().replace(ENV_SEPARATOR, ".")
            raise ConfigError(_unknown(dotted, keys, f"env {variable}"))
        elif SERVICE_LINK.fullmatch(f"{variable}={environ[variable]}"):
            continue
        elif near := difflib.get_close_matches(variable, variables, 1, 0.9):
            # Others set TIDECAST_... too; only a near miss is a mistake.
            raise ConfigError(f"environment variable {variable} is not read; did you mean {near[0]}?")


def _build(section: type, prefix: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> object:
    kinds = get_type_hints(section)
    given: dict[str, Any] = {}
    for item in fields(section):
        dotted = prefix + item.name
        if is_dataclass(kinds[item.name]):
            given[item.name] = _build(cast(type, kinds[item.name]), f"{dotted}.", values, origins)
        elif dotted in values:
            given[item.name] = values[dotted]
    try:
        return section(**given)
    except ConfigError as err:
        leaves = {name: origin for name, origin in origins.items() if name.rpartition(".")[0] == prefix.rstrip(".")}
        named = [f"{name} from {origin}" for name, origin in leaves.items() if name.rpartition(".")[2] in str(err)]
        raise ConfigError(f"{err} ({', '.join(named)})") from err


def _unknown(name: str, keys: Mapping[str, Key], origin: str) -> str:
    section, _, leaf = name.rpartition(".")
    siblings = [known for known in keys if known.rpartition(".")[0] == section]
    sections = sorted({known.rpartition(".")[0] for known in keys})
    if siblings:
        near = difflib.get_close_matches(name, siblings, 1, 0.0)[0]
        known = ", ".join(known.rpartition(".")[2] for known in siblings)
        return f"unknown key {name} ({origin}); did you mean {near}? [{section}] knows: {known}"
    elsewhere = [known for known in keys if leaf and known.rpartition(".")[2] == leaf]
    near = elsewhere[0] if elsewhere and section else difflib.get_close_matches(section or name, sections, 1, 0.0)[0]
    return f"unknown section {section or name} ({origin}); did you mean {near}? sections: {', '.join(sections)}"
