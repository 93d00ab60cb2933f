"""A Serve ingress with made-up answers, deployed in its own process: python -m tests.served_direct ADDRESS PORT KIND.

KIND is `both`: two replicas, of which the first answers directly and the second the ordinary way; or `scaled`: one or
two that answer directly, as many as requests are in progress. Prints nothing; ends once Serve has them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import msgspec

from actors.recommend.schema import Query
from deploy.http.api import Api
from deploy.http.routes.answers import answer_routes
from streaming.metrics import MemoryMetrics
from tests.direct_requests import MAX_BODY_BYTES, ORIGIN
from tests.unit.deploy.http.called_api import FakeAnswers, FakeLookup, FakeTexts

WHERE = "/-/where"  # of a replica: who it is, and whether it answers directly
BUSY_S = 0.003  # of an answer to a viewer whose name begins with "slow": long enough for others to wait
OPTIONS = {
    "both": {"num_replicas": 2},
    "scaled": {
        "autoscaling_config": {
            "min_replicas": 1,
            "max_replicas": 2,
            "target_ongoing_requests": 3,
            "upscale_delay_s": 0.5,
            "downscale_delay_s": 1.0,
            "look_back_period_s": 2.0,
            "metrics_interval_s": 0.5,
        }
    },
}


class SlowAnswers(FakeAnswers):
    """Says of a slow answer who gave it, and whether directly: in no task, then."""

    def recommend_json(self, query: Query, request_id: str = "") -> bytes:
        if not query.viewer.startswith("slow"):
            return super().recommend_json(query, request_id)
        time.sleep(BUSY_S)
        return msgspec.json.encode({"pid": os.getpid(), "direct": asyncio.current_task() is None})


class Served:
    """The deployment."""

    def __init__(self, kind: str) -> None:
        from ray import serve  # noqa: PLC0415

        from deploy.ray.ray_patches import leave_request_ids  # noqa: PLC0415

        leave_request_ids()
        self._metrics, answers = MemoryMetrics(), SlowAnswers()
        self._api = Api(
            answer_routes(answers, FakeTexts(), FakeLookup(answers)),
            MAX_BODY_BYTES,
            self._metrics,
            request_timeout_s=0.2,
            cors_origins=(ORIGIN,),
        )
        self._direct = kind != "both" or serve.get_replica_context().rank.rank == 0

    def __serve_build_asgi_app__(self) -> Any:
        from deploy.ray.direct_answers import answer_directly  # noqa: PLC0415

        if self._direct:
            answer_directly(self._api, self._metrics)
        return Told(self._api, self._metrics)


class Told:
    """The Api, and where it is."""

    def __init__(self, api: Api, metrics: MemoryMetrics) -> None:
        self._api, self._metrics = api, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != WHERE:
            await self._api(scope, receive, send)
            return
        where = {"pid": os.getpid(), "port": scope["server"][1], "direct": self._metrics.value("replica_direct")}
        body = msgspec.json.encode(where)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main(address: str, port: int, kind: str) -> None:
    import ray  # noqa: PLC0415
    from ray import serve  # noqa: PLC0415
    from ray.serve.config import HTTPOptions, ProxyLocation  # noqa: PLC0415

    from deploy.ray import ray_patches  # noqa: PLC0415
    from tests import served_direct  # noqa: PLC0415, PLW0406  what is deployed from __main__ is pickled by value

    ray.init(address, namespace="serve", log_to_driver=False, logging_level="ERROR")
    ray_patches.start_serve(HTTPOptions(host="127.0.0.1", port=port), ProxyLocation.EveryNode)
    deployment = serve.deployment(
        serve.ingress()(served_direct.Served),
        name="Served",
        max_ongoing_requests=1_000,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=10.0,
        ray_actor_options={"num_cpus": 0.1},
        **OPTIONS[kind],
    )
    logs = {"enable_access_log": False, "log_level": "WARNING"}
    serve.run(deployment.bind(kind), name="tidecast", route_prefix="/", logging_config=logs)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
