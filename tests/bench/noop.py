"""A Serve ingress that does nothing, to measure Serve itself. Deploys it beside the application or alone, no more.

A process of its own, for the environment comes before Ray's import: `python -m tests.bench.noop ADDRESS REPLICAS PORT`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

PATH = "/noop"


class Noop:
    """Reads the body and answers `{}`."""

    def __serve_build_asgi_app__(self) -> Any:
        return answer


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The least that an ASGI application can do."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def deploy(address: str, replicas: int, environment: Mapping[str, str], port: int = 0) -> None:
    """Deploys it on a running cluster, in another process. port: where Serve is to answer; 0 where it runs already."""
    command = [sys.executable, "-m", "tests.bench.noop", address, str(replicas), str(port)]
    subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)


def main(argv: Sequence[str]) -> None:
    import ray  # noqa: PLC0415
    from ray import serve  # noqa: PLC0415

    from deploy.config.http_settings import HttpConfig  # noqa: PLC0415
    from deploy.config.settings import Settings  # noqa: PLC0415
    from deploy.serve.app import start_serve  # noqa: PLC0415
    from tests.bench import noop  # noqa: PLC0415, PLW0406  what is deployed from __main__ is pickled by value

    address, replicas, port = argv
    ray.init(address, namespace="serve", log_to_driver=False, logging_level="ERROR")
    if port != "0":
        start_serve(Settings(http=HttpConfig(port=int(port))))
    deployment = serve.deployment(
        serve.ingress()(noop.Noop),
        name="Noop",
        num_replicas=int(replicas),
        max_ongoing_requests=1_000,
        ray_actor_options={"num_cpus": 0.1},
    )
    serve.run(
        deployment.bind(),
        name="noop",
        route_prefix=PATH,
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )


if __name__ == "__main__":
    main(sys.argv[1:])
