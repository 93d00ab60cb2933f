"""The client of Tidecast's HTTP API. Needs httpx and msgspec, and nothing else of Tidecast.

    from tidecast_client import Client

    with Client("http://127.0.0.1:8000", key="tc_...") as client:
        for item in client.recommend("viewer-1", limit=5).rooms:
            print(item.room, item.reason)

`types`, `methods` and `async_methods` are made from the API's OpenAPI document by `make client`.
"""

from __future__ import annotations

import msgspec

from tidecast_client import call, types
from tidecast_client.async_client import AsyncClient
from tidecast_client.call import Call
from tidecast_client.client import Client
from tidecast_client.errors import (
    BadRequest,
    ClientError,
    KeyReused,
    NoAccess,
    NotFound,
    NotNow,
    NotReachable,
    ProblemError,
    ServerError,
    UnexpectedAnswer,
)
from tidecast_client.event_stream import Event
from tidecast_client.retries import NO_RETRIES, Retries
from tidecast_client.types import *  # noqa: F403  every record of the document, by its name there

__all__ = [
    "NO_RETRIES",
    "AsyncClient",
    "BadRequest",
    "Call",
    "Client",
    "ClientError",
    "Event",
    "KeyReused",
    "NoAccess",
    "NotFound",
    "NotNow",
    "NotReachable",
    "ProblemError",
    "Retries",
    "ServerError",
    "UnexpectedAnswer",
]
__all__ += types.__all__

# Two threads in which msgspec (0.22) looks at a type for the first time at once crash the process.
for _kind in (*vars(types).values(), *vars(call).values()):
    if isinstance(_kind, type) and issubclass(_kind, msgspec.Struct):
        msgspec.json.Decoder(_kind)
