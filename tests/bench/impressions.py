"""What noting an answer costs: processor time of answers with and without impressions, all threads of the process.

The same for what was shown (`recommend.shown_cost`): it is looked up for each answer, noted, written and read.

Asks at a replica's usual rate rather than as fast as possible, because a batch costs the same however small it is. Both
ways take turns on one set of tables; impressions go to a real Kafka. Kafka's own time is not counted.

    python -m tests.bench.impressions --json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable

from actors.index.live_index import LiveIndex
from actors.recommend.impressions import Impressions, ImpressionWriter
from actors.recommend.recommender import Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.shown_queue import ShownQueue
from actors.state.shown_reader import ShownReader
from actors.state.table_reader import Tables
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import ROOM_STATES, SHOWN_ROOMS, VIEWER_PROFILES, TopicsConfig
from streaming.prometheus import PrometheusMetrics
from tests.bench.recommend import Platform, batch_of
from tests.bench.stopping import leave_on_sigterm

NUM_ROOMS = 2_000
NUM_VIEWERS = 500


def paced(ask: Callable[[int], object], seconds: float, rate: float) -> tuple[int, float, float]:
    """Answers, and the process's and this thread's processor time per answer in µs."""
    began_s, process_s, thread_s, asked = time.monotonic(), time.process_time(), time.thread_time(), 0
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        while asked < elapsed_s * rate:
            ask(asked)
            asked += 1
        time.sleep(0.005)
    thread_s = time.thread_time() - thread_s
    time.sleep(1.5)  # until what waits is written: it belongs to this round
    return asked, (time.process_time() - process_s) / asked * 1e6, thread_s / asked * 1e6


def measure(config: KafkaConfig, rounds: int, seconds: float, rate: float) -> dict[str, float]:
    """Fills the tables and asks in turns."""
    clock, metrics, platform = SystemClock(), PrometheusMetrics(), Platform(NUM_ROOMS, NUM_VIEWERS, seed=1)
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), metrics, clock)
    now_ms = clock.now_ms()
    states = [platform.state(room, now_ms) for room in range(NUM_ROOMS)]
    tables.apply(batch_of(ROOM_STATES, [(state.room, encode(state)) for state in states]))
    profiles = [platform.profile(viewer, now_ms) for viewer in range(NUM_VIEWERS)]
    tables.apply(batch_of(VIEWER_PROFILES, [(p.viewer, encode(p)) for p in profiles]))
    queries = [Query(viewer=f"viewer-{i}") for i in range(NUM_VIEWERS)]

    impressions, stop = Impressions(1.0, 10_000), threading.Event()
    silent = Recommender(tables, RecommendConfig(), metrics, clock)
    noting = Recommender(tables, RecommendConfig(), metrics, clock, impressions)
    writer = threading.Thread(
        target=ImpressionWriter(KafkaLog(config.in_bulk()), impressions, metrics).run, args=(stop,)
    )
    writer.start()
    queue = ShownQueue("bench", 10_000)
    sinking = Recommender(tables, RecommendConfig(shown_cost=0.5), metrics, clock, shown=queue)
    assert sinking.shown is not None
    reader = ShownReader(KafkaLog(config), sinking.shown.table, tables, metrics, "another, so that all is applied")
    beside = [
        threading.Thread(target=run, args=(stop,))
        for run in (ImpressionWriter(KafkaLog(config.in_bulk()), queue, metrics, SHOWN_ROOMS).run, reader.run)
    ]
    for thread in beside:
        thread.start()
    found: dict[Recommender, list[tuple[int, float, float]]] = {silent: [], noting: [], sinking: []}
    for recommender in [silent, noting, sinking] * (rounds + 1):
        found[recommender].append(
            paced(lambda i, asked=recommender: asked.recommend_json(queries[i % NUM_VIEWERS]), seconds, rate)  # type: ignore[misc]
        )
    stop.set()
    for thread in (writer, *beside):
        thread.join()
    kinds = [found[kind][1:] for kind in (silent, noting, sinking)]  # the first round of each warms up
    mean = [[sum(round_[at] for round_ in kind) / rounds for at in (1, 2)] for kind in kinds]
    return {
        "answers": sum(round_[0] for round_ in kinds[1]), "dropped": impressions.dropped, "answer_us": mean[0][0],
        "noted_us": mean[1][0], "impression_us": mean[1][0] - mean[0][0], "path_us": mean[1][1] - mean[0][1],
        "shown_us": mean[2][0] - mean[0][0], "shown_path_us": mean[2][1] - mean[0][1],
        "shown_dropped": queue.dropped,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round")
    parser.add_argument("--rate", type=float, default=750.0, help="answers a second")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    leave_on_sigterm()
    with (
        tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder,
        LocalKafka(LocalKafkaConfig(folder=folder, port=0, controller_port=0)) as kafka,
    ):
        config = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers)
        with KafkaAdmin(config) as admin:
            check_topics(admin, TopicsConfig())
        figures = measure(config, args.rounds, args.seconds, args.rate)
    if args.json:
        print(json.dumps({name: round(value, 1) for name, value in figures.items()}))
    else:
        for name, value in figures.items():
            print(f"{name:14} {value:10.1f}")


if __name__ == "__main__":
    main()
