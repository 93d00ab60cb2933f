"""Deploys a configuration of Serve as KubeRay does, in its own process: python -m tests.served_config ADDRESS PORT.

The configuration comes on standard input, as YAML. Prints each deployment's name and number of replicas once it runs.
"""

from __future__ import annotations

import json
import sys
import time

PATIENCE_S = 240.0


def main(address: str, port: int) -> None:
    import ray  # noqa: PLC0415
    import yaml  # noqa: PLC0415
    from ray import serve  # noqa: PLC0415
    from ray.serve._private.api import _get_global_client  # noqa: PLC0415
    from ray.serve.config import HTTPOptions, ProxyLocation  # noqa: PLC0415
    from ray.serve.schema import ServeDeploySchema  # noqa: PLC0415

    from deploy.ray import ray_patches  # noqa: PLC0415

    ray.init(address, namespace="serve", log_to_driver=False, logging_level="ERROR")
    # the dashboard does so when the operator's request comes; our Ray has none
    ray_patches.start_serve(HTTPOptions(host="127.0.0.1", port=port), ProxyLocation.EveryNode)
    config = ServeDeploySchema.model_validate(yaml.safe_load(sys.stdin.read()))
    client = _get_global_client()
    assert client is not None
    client.deploy_apps(config)
    until = time.monotonic() + PATIENCE_S
    while (status := serve.status().applications["tidecast"]).status != "RUNNING":
        assert status.status != "DEPLOY_FAILED", status.message
        assert time.monotonic() < until, status
        time.sleep(0.5)
    sys.stdout.write(json.dumps({name: one.replica_states for name, one in status.deployments.items()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
