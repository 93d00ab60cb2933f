"""How long work stands still when a second installation takes over, and when the first one has it back.

Real worker processes of two installations on a Kafka of its own, with an encoder that answers at once. Rooms are
chatted in all the time, so each partition of room-states has several records a second. Printed is the longest time
without one: before, around the hand-over, and around its way back. And whether the state at the end is that of an
undisturbed pass over the log.

    python -m tests.bench.hand_over --seconds 180 --rooms 3000
    python -m tests.bench.hand_over --end killed        the second installation is killed instead of stopped
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.events import ChatMessage, RoomStarted
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, ROOMS, TopicsConfig
from streaming.room.window_config import WindowConfig
from tests.appends import Appends
from tests.fake_encoder import FAKE_VERSION, fake_vectors
from tests.integration.worker_group import await_owners, installation, owners
from tests.reference import expected_states, published_states

PREFIX = "bench."
PARTITIONS = 4
NAMES = ["0", "1"]
WARM_UP_S = 30.0  # workers on new topics look at them once more after 15 s


class Talk(threading.Thread):
    """Starts rooms, then has a few of them chat, a hundred messages a second."""

    def __init__(self, log: KafkaLog, rooms: int) -> None:
        super().__init__(daemon=True)
        self._log, self._rooms = log, rooms
        self._halt = threading.Event()
        self.messages = 0

    def run(self) -> None:
        sink = self._log.sink()
        now_ms = time.time_ns() // 1_000_000
        for number in range(self._rooms):
            started = RoomStarted(room=f"r{number}", streamer=f"s{number}", at_ms=now_ms, title=f"title {number}")
            sink.send(ROOMS, started.room.encode(), encode(started))
        while not self._halt.wait(0.1):
            for _ in range(10):
                room = f"r{self.messages % min(200, self._rooms)}"
                at_ms = time.time_ns() // 1_000_000
                said = ChatMessage(
                    room=room, viewer=f"v{self.messages % 97}", text=f"word {self.messages}", at_ms=at_ms
                )
                sink.send(CHAT, room.encode(), encode(said))
                self.messages += 1
            sink.flush()
        sink.close()

    def stop(self) -> None:
        self._halt.set()
        self.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.hand_over", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="that both installations run together")
    parser.add_argument("--rooms", type=int, default=1_000)
    parser.add_argument("--end", choices=["stopped", "killed"], default="stopped", help="of the second installation")
    parser.add_argument("--json", action="store_true", help="ends with one JSON object")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalKafka(LocalKafkaConfig(folder=folder, port=0, controller_port=0)) as kafka,
    ):
        config = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers)
        topics = TopicsConfig(prefix=PREFIX, room_partitions=PARTITIONS, viewer_partitions=1)
        with KafkaAdmin(config) as admin:
            check_topics(admin, topics)
        run(KafkaLog(config, PREFIX), kafka.bootstrap_servers, options)


def run(log: KafkaLog, servers: str, options: argparse.Namespace) -> None:
    appends, talk = Appends(log), Talk(log, options.rooms)
    with installation(servers, PREFIX, len(NAMES)) as old:
        await_owners(log, "room", NAMES)
        appends.start()
        talk.start()
        time.sleep(WARM_UP_S)
        began_s = time.monotonic()
        before = owners(log, "room", NAMES)
        with installation(servers, PREFIX, len(NAMES)) as new:
            await_owners(log, "room", NAMES, other_than=before)
            time.sleep(options.seconds)
            ending_s = time.monotonic()
            upgraded = owners(log, "room", NAMES)
            each(new, lambda worker: worker.stop() if options.end == "stopped" else worker.kill())
        await_owners(log, "room", NAMES, other_than=[*before, *upgraded])
        time.sleep(15)
        over_s = time.monotonic()
        talk.stop()
        window = WindowConfig()
        expected = expected_states(log, fake_vectors, FAKE_VERSION, window)
        until_s = time.monotonic() + 60
        while (equal := published_states(log) == expected) is False and time.monotonic() < until_s:
            time.sleep(1)
        alive = all(worker.is_alive for worker in old)
    appends.stop()
    still_s = {
        "one installation": appends.longest_s(began_s - 10, began_s),
        "the second one takes over": appends.longest_s(began_s, ending_s),
        f"the second one is {options.end}, the first has it back": appends.longest_s(ending_s, over_s),
    }
    print(f"{options.rooms} rooms, {PARTITIONS} partitions, {talk.messages:,} messages, {len(NAMES)} RoomWorkers each")
    for what, seconds in still_s.items():
        print(f"longest time without a state of some partition, {what}: {seconds:.2f} s")
    print(f"state at the end as of one undisturbed pass: {equal}; every process of the first one alive: {alive}")
    if options.json:
        print(json.dumps({"still_s": still_s, "equal": equal, "alive": alive, "messages": talk.messages}))


def each(workers: list[object], act: Callable[..., object]) -> None:
    """Does it to all at once, as Serve does."""
    threads = [threading.Thread(target=act, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
