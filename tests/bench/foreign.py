"""Measures what foreign records cost: whole worker loops on topics of which every record lies in another partition than
its key's, against the same records where they belong, in the same run.

Every foreign record is read, written to its partition and read once more. A rate is of a producer's records, from the
worker's first batch to the end of its last transaction, that is until all of them count. Each round has topics of its
own, and the order of the two alternates; a figure is the median of the rounds. Loops and settings are those of
`tests.bench.ingest`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from typing import Any

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.log import Sink
from streaming.log.partitioner import partition_of
from streaming.log.topic_check import check_topics
from streaming.log.topics import TopicsConfig
from tests.bench.ingest import Moment, WatchedLog, fill, profiled, run_profiles, run_rooms
from tests.bench.stopping import leave_on_sigterm

PARTITIONS = 4


class Misplacing:
    """A sink that puts every record into the partition after its key's."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.flush = sink.flush

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        self._sink.send(topic, key, value, (partition_of(key, PARTITIONS) + 1) % PARTITIONS)


def measure(config: KafkaConfig, prefix: str, records: int, *, foreign: bool) -> dict[str, Moment]:
    """Rates of both workers on topics of their own."""
    with KafkaAdmin(config) as admin:
        check_topics(admin, TopicsConfig(prefix, PARTITIONS, PARTITIONS))
    sink: Any = KafkaLog(config, prefix).sink()
    fill(Misplacing(sink) if foreign else sink, records, 1_000, records, 20_000)  # type: ignore[arg-type]
    sink.close()
    rates: dict[str, Moment] = {}
    for name, run, total in (("room", run_rooms, records + 1_000), ("profile", run_profiles, records)):
        log = WatchedLog(config, 0, 2 * total if foreign else total, prefix)
        profiled(run(log), wanted=False)
        rate = log.span.rate()
        rates[name] = Moment(*(figure / 2 for figure in rate)) if foreign else rate
    return rates


def main() -> None:
    """One JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    leave_on_sigterm()
    figures: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalKafka(LocalKafkaConfig(folder=folder, port=0, controller_port=0)) as broker,
    ):
        config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers)
        for number in range(args.rounds):
            kinds = (False, True) if number % 2 else (True, False)
            found = {
                foreign: measure(config, f"{number}-{'far' if foreign else 'near'}.", args.records, foreign=foreign)
                for foreign in kinds
            }
            for name in ("room", "profile"):
                far, near = found[True][name], found[False][name]
                for figure, value in (
                    (f"{name}_ratio", far.wall_s / near.wall_s),
                    (f"{name}_cpu_ratio", far.cpu_s / near.cpu_s),
                    (f"{name}_foreign_per_s", far.wall_s),
                    (f"{name}_home_per_s", near.wall_s),
                ):
                    figures.setdefault(figure, []).append(value)
            print(", ".join(f"{name} {each[-1]:,.3f}" for name, each in figures.items()), file=sys.stderr)
    print(json.dumps({name: round(statistics.median(each), 3) for name, each in figures.items()}))


if __name__ == "__main__":
    main()
