"""Patches for gaps in Ray's API: a value that all nodes can read, a port that is too open, a wait. Never more.

They reach into Ray 2.60, which pyproject.toml pins; tests/integration/test_app.py notices when they no longer fit.
"""

from __future__ import annotations

from typing import Any

from ray.experimental import internal_kv
from ray.serve._private import api, http_util, replica
from ray.serve.config import HTTPOptions, ProxyLocation

NAMESPACE = b"tidecast"
PREFIX = b"status/"
ALL_INTERFACES = "[::]:0"
LOOPBACK = "127.0.0.1:0"


class KvStore:
    """A `deploy.http.status.Store` in the cluster's GCS. Needs no process of its own and is read on every node."""

    def put(self, key: str, value: bytes) -> None:
        """Stores a value. Blocks for about a millisecond. Raises where the GCS is away."""
        internal_kv._internal_kv_put(PREFIX + key.encode(), value, overwrite=True, namespace=NAMESPACE)

    def values(self) -> list[bytes]:
        """All values ever put; none is removed, so readers check their times."""
        client = internal_kv.internal_kv_get_gcs_client()
        keys = client.internal_kv_keys(PREFIX, NAMESPACE)
        return list(client.internal_kv_multi_get(keys, NAMESPACE).values()) if keys else []


def keep_on_loopback() -> None:
    """Makes this replica's server for calls between deployments listen on loopback.

    Serve binds it to all interfaces, without a setting, and it unpickles what it is sent. It is bound after the
    deployment's constructor has run, from where this is called. Only for a Ray that is this machine alone.
    """
    bind = replica.add_port_to_grpc_server
    if getattr(bind, "narrowed", False):
        return

    def narrowed(server: Any, address: str) -> Any:
        return bind(server, LOOPBACK if address == ALL_INTERFACES else address)

    narrowed.narrowed = True  # type: ignore[attr-defined]
    replica.add_port_to_grpc_server = narrowed


def leave_request_ids() -> None:
    """Makes this replica's HTTP server leave `X-Request-Id` to the application, which checks it and answers with it.

    Serve would send back whatever a caller sent, beside the application's own. The server starts after the deployment's
    constructor has run, from where this is called.
    """
    http_util.RequestIdMiddleware = AsItIs


class AsItIs:
    """An ASGI middleware that changes nothing."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def start_serve(options: HTTPOptions, location: ProxyLocation) -> None:
    """Starts Serve without the wait of `serve.start` for HTTP entries: replicas and entries start side by side.

    No effect where Serve runs already on the connected cluster.
    """
    if api._get_global_client(raise_if_no_controller_running=False) is None:
        controller = api._coerce_controller_options(None)
        api._create_controller_and_proxy_refs(options, None, None, None, controller, location)
