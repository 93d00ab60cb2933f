"""Runs one replica that streams lists, in a process of its own, for tests to kill. Prints its port. No test is here.

It has what a Recommender has of a stream: tables read from Kafka, answers, HTTP. It ends with its parent.
"""

from __future__ import annotations

import argparse
import threading

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import TableReader, Tables
from actors.streams.table_changes import TableChanges
from deploy.config.stream_settings import StreamConfig
from deploy.http.api import Api
from deploy.http.openapi import Operation
from deploy.http.route import Response, Route
from deploy.http.routes.answers import answer_routes
from deploy.http.routes.probes import probe_routes
from deploy.http.status import Readiness
from deploy.http.streams.stream_route import stream_routes
from deploy.http.streams.streams import Streams
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.metrics import MemoryMetrics
from tests.served_api import server_of
from tests.unit.deploy.http.called_api import FakeTexts

READY = Readiness(ready=True, reason="", lag={}, contact_age_s=0.0, live_rooms=0)


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(prog="tests.stream_replica")
    parser.add_argument("servers")
    parser.add_argument("prefix")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    log = KafkaLog(KafkaConfig(bootstrap_servers=options.servers), options.prefix)
    metrics, clock = MemoryMetrics(), SystemClock()
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=1_000)), metrics, clock, max_rooms=1_000)
    recommender = Recommender(tables, RecommendConfig(), metrics, clock)
    reader = TableReader(log, tables, metrics)
    threading.Thread(target=reader.run, args=(threading.Event(),), daemon=True).start()
    streams = Streams(recommender, TableChanges(tables), StreamConfig(heartbeat_s=0.2, period_s=0.1), metrics)
    serves = Route("GET", "/-/healthz", lambda _: Response(b"{}"), Operation("healthOfServe", "For HAProxy", None))
    table = [*answer_routes(recommender, FakeTexts()), *stream_routes(streams), *probe_routes(lambda: READY), serves]
    api = Api(table, 10_000, metrics, lambda: reader.ready)
    server_of(api, options.port).run()


if __name__ == "__main__":
    main()
