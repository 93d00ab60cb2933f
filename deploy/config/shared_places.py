"""What several hosts have in common: the places that they read and write, and the vectors. Never opens any of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from deploy.config.settings import Settings
from streaming.errors import ConfigError
from streaming.masked_uri import masked_uri


def require_shared(settings: Settings, hosts: int) -> None:
    """Checks the places of archive, registry and training. hosts: of the cluster. Raises ConfigError: one is a path.

    A path is another place on each host, unless it is a mount that all have; `file://` in front of it says so.
    """
    if hosts < 2:
        return
    for key, place in _places(settings):
        if "://" not in place:
            raise ConfigError(
                f"{key} is {masked_uri(place)!r}: a path, but the cluster has {hosts} hosts, and each would have a "
                f"place of its own. Set {key} to what every host reaches: a URI such as s3://bucket/tidecast, or "
                "file:///mnt/shared/tidecast where that folder is mounted on all of them"
            )


def same_vectors(settings: Settings, hosts: int) -> Settings:
    """The settings with one precision of the Encoder for all hosts, where each would choose by its own processor.

    Vectors of another precision are another version's: a room would lose its vectors whenever its texts went to another
    host. fp32 is what every processor does; where all of them multiply bf16 natively, or have GPUs, set bf16.
    """
    if hosts < 2 or settings.encoder.precision != "auto":
        return settings
    return dataclasses.replace(settings, encoder=dataclasses.replace(settings.encoder, precision="fp32"))


def _places(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "registry.uri", settings.registry.uri
    if settings.archive.uri:
        yield "archive.uri", settings.archive.uri
        if settings.training.every_s:
            yield "training.folder", settings.training.folder
            if settings.training.checkpoints:
                yield "training.checkpoints", settings.training.checkpoints
