"""Measures events/s into Kafka: `tidecast simulate --fast` beside a bare kafka-python producer of the same bytes.

The bare producer is given the events ready-made and in memory; the simulator also makes them. Both, and the broker,
share this machine.

    python -m tests.bench.produce --seconds 30 --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time

from kafka import KafkaProducer

from deploy.demo.simulation import SimulationRun, run_fast
from streaming.broker import KafkaAdmin
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.topic_check import check_topics
from streaming.log.topics import TopicsConfig
from streaming.recorded.playback import Event
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from tests.bench.stopping import leave_on_sigterm

AIM_EVENTS_PER_S = 50_000
PLATFORM = SimulationConfig(rooms=2_000, viewers=50_000, chat_per_room_s=5.0, talking_share=0.0)


def simulated(config: KafkaConfig, seconds: int, processes: int) -> tuple[int, float]:
    """Events and seconds of the simulator."""
    now_ms = time.time_ns() // 1_000_000
    run = SimulationRun(PLATFORM, now_ms - seconds * 1000, now_ms, ends=True, truth=None)
    written = run_fast(run, config, "", processes, threading.Event())
    return written.events, written.elapsed_s


def bare(config: KafkaConfig, events: list[Event]) -> float:
    """Seconds that kafka-python takes for the events, with the settings that Tidecast gives it."""
    producer = KafkaProducer(
        bootstrap_servers=config.bootstrap_servers, compression_type="lz4", batch_size=131_072, linger_ms=5
    )
    began_s = time.monotonic()
    for event in events:
        producer.send(event.topic, value=event.value, key=event.key)
    producer.flush()
    took_s = time.monotonic() - began_s
    producer.close()
    return took_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="of the platform's time, some 20,000 events each")
    parser.add_argument("--bare-events", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    leave_on_sigterm()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalKafka(LocalKafkaConfig(folder=folder, port=0, controller_port=0)) as broker,
    ):
        config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers)
        with KafkaAdmin(config) as admin:
            check_topics(admin, TopicsConfig())
        events, took_s = simulated(config, args.seconds, args.processes)
        ready = []
        for event in Platform(PLATFORM).events(1_700_000_000_000):
            ready.append(event)
            if len(ready) == args.bare_events:
                break
        bare_s = bare(config, ready)
    rate, bare_rate = events / took_s, len(ready) / bare_s
    result = {
        "events": events,
        "events_per_s": round(rate),
        "bare_events_per_s": round(bare_rate),
        "ratio": round(rate / bare_rate, 2),
        "processes": args.processes,
        "cpus": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 1),
        "aim_events_per_s": AIM_EVENTS_PER_S,
    }
    print(f"simulate: {rate:,.0f} events/s; bare kafka-python: {bare_rate:,.0f}/s; aim {AIM_EVENTS_PER_S:,}")
    if args.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
