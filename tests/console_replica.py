"""A replica with a learned version live and operators' rules, over HTTP, for the console to ask. No test is here."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import msgspec

from actors.answers.known_rules import KnownRules
from deploy.http.access import Access
from deploy.http.api import Api
from deploy.http.routes.public import routes
from deploy.http.routes.rules import rule_routes
from streaming.log.codec import encode
from streaming.log.topics import RULES
from streaming.metrics import MemoryMetrics
from streaming.operator_rule import RuleBody, rule_of
from tests.answers_behind import answers_behind
from tests.served_api import served
from tests.unit.actors.replica import Replica
from tests.unit.actors.requests.test_goals import learned
from tests.unit.deploy.http.called_api import READY, FakeTexts

ON_ITS_WAY_S = 0.2  # from the log to the replica


class LateRules:
    """Brings what is written to a replica a little later, as the log would."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def put(self, name: str, body: RuleBody) -> int:
        at_ms = self._now_ms()
        self._send(name, encode(rule_of(name, body, at_ms)))
        return at_ms

    def delete(self, name: str) -> int:
        self._send(name, None)
        return self._now_ms()

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def _send(self, name: str, value: bytes | None) -> None:
        threading.Timer(ON_ITS_WAY_S, self._replica.send, (RULES, name, value)).start()


@contextlib.contextmanager
def served_replica(access: Access | None = None) -> Iterator[str]:
    """Serves forty rooms and the viewer "v", with the version "one" live; gives the address. access: None: no keys."""
    replica = learned()
    replica.clock.advance(time.time_ns() // 1_000_000 - replica.clock.now_ms())  # rules end by it
    ready = msgspec.structs.replace(READY, model_version="one", live_rooms=40)
    rules = rule_routes(KnownRules(replica.recommender), LateRules(replica), local_only=True)
    behind = answers_behind(replica.recommender, replica.clock, FakeTexts(), writing=rules)
    api = Api(routes(behind, lambda: ready), 2_000_000, MemoryMetrics(), request_timeout_s=5.0, access=access)
    with served(api) as port:
        yield f"http://127.0.0.1:{port}"
