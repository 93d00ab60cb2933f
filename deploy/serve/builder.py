"""The application for a Serve that is given a configuration to read, as on Kubernetes. Never deploys it.

A configuration for Serve (`serveConfigV2` of a RayService) names this function as its `import_path`. It runs in a pod,
where the settings are mounted as a file. Secrets are in no argument and in no option: each replica reads its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from ray.serve import Application

from deploy.config.secrets import without_secrets
from deploy.config.settings import Settings, load
from deploy.serve.app import Placement, build
from streaming.errors import ConfigError

IMPORT_PATH = "deploy.serve.builder:application"


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of the application. config: the settings' file in the pod. gpus: of each Encoder."""

    config: str
    metrics_folder: str
    gpus: float = 0.0


def application(arguments: Mapping[str, Any]) -> Application:
    """The application of a pod's settings. Raises ConfigError: an unknown argument, or settings that cannot be."""
    try:
        given = msgspec.convert(dict(arguments), Arguments)
    except msgspec.ValidationError as err:
        raise ConfigError(f"args of the application tidecast: {err}") from err
    return of(load(Path(given.config), os.environ).settings, given)


def of(settings: Settings, arguments: Arguments) -> Application:
    """The application of these settings, with no secret in it."""
    return build(without_secrets(settings), Placement(arguments.metrics_folder, arguments.gpus, local=False))
