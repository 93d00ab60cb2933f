"""The configuration of Serve for a RayService (`serveConfigV2`), made of the application itself. Never deploys it.

The options of each deployment stand in it although the code sets the same: so one sees them in the manifest, and
`kubectl edit` can change a number of replicas without a new cluster.
"""

from __future__ import annotations

from typing import Any

from ray.serve._private.build_app import build_app
from ray.serve.deployment import deployment_to_schema

from deploy.k8s.installation import CONFIG_FILE, CONFIG_FOLDER, METRICS_FOLDER, Installation
from deploy.k8s.manifest import yaml_text
from deploy.serve.app import APPLICATION, LOGGING
from deploy.serve.builder import IMPORT_PATH, Arguments, of


def arguments_of(here: Installation) -> Arguments:
    """The arguments of the application in a pod of the installation."""
    folders = {"config": f"{CONFIG_FOLDER}/{CONFIG_FILE}", "metrics_folder": METRICS_FOLDER}
    return Arguments(**folders, gpus=here.settings.ray.encoder_gpus)


def serve_config(here: Installation) -> dict[str, Any]:
    """The configuration, as Serve's ServeDeploySchema has it."""
    arguments = arguments_of(here)
    built = build_app(of(here.settings, arguments), name=APPLICATION)
    deployments = [
        deployment_to_schema(deployment).model_dump(mode="json", exclude_unset=True) for deployment in built.deployments
    ]
    given = {"config": arguments.config, "metrics_folder": arguments.metrics_folder, "gpus": arguments.gpus}
    http = here.settings.http
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": http.host, "port": http.port},
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": given,
                "logging_config": dict(LOGGING),
                "deployments": sorted(deployments, key=lambda one: str(one["name"])),
            }
        ],
    }


def as_text(config: dict[str, Any]) -> str:
    """The configuration as the YAML text that a RayService takes."""
    return yaml_text(config)
