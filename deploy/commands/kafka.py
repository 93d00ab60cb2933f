"""Owns `tidecast kafka`: starts, stops and shows the local single-node Kafka. Never touches another Kafka."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from deploy.config import from_args
from streaming.local_kafka import KAFKA_VERSION, LocalKafka, find_jars

EPILOG = """\
examples:
  tidecast kafka start     a real Apache Kafka on 127.0.0.1:9092, its data in .tidecast/kafka
  tidecast kafka status    whether it runs and answers; exit code 1 where it does not
  tidecast kafka stop      stops it; the data stays, and the next start has it again
  tidecast kafka fetch     downloads the jars (45 MB, once), for a machine that will have no network
  TIDECAST_LOCAL_KAFKA__PORT=9192 tidecast kafka start     another port

To use a Kafka that you have, set kafka.bootstrap_servers (TIDECAST_KAFKA__BOOTSTRAP_SERVERS); then none is started.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "kafka",
        help="start, stop and look at a local single-node Kafka",
        description=f"Runs a real Apache Kafka {KAFKA_VERSION} on this machine, without docker and without root.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("start", "stop", "status", "fetch"), help="what to do")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    settings = from_args(args)
    if args.action == "fetch":
        return _fetch(as_json=args.json)
    if settings.kafka.bootstrap_servers:
        print(
            f"tidecast: kafka.bootstrap_servers is {settings.kafka.bootstrap_servers}: "
            "the other commands use that Kafka, not the local one",
            file=sys.stderr,
        )
    kafka = LocalKafka(settings.local_kafka)
    if args.action == "start":
        started = kafka.start()
        note = "started" if started else "ran already"
    elif args.action == "stop":
        note = "stopped" if kafka.stop() else "was not running"
    else:
        note = ""
    return _show(kafka, note, action=args.action, as_json=args.json)


def _show(kafka: LocalKafka, note: str, *, action: str, as_json: bool) -> int:
    status = kafka.status()
    if as_json:
        print(json.dumps({"action": action, "result": note, **dataclasses.asdict(status)}))
    elif note:
        print(f"Kafka {note}" + (f" on {status.bootstrap_servers}, pid {status.pid}" if status.pid else ""))
    elif status.pid is None:
        print(f"Kafka does not run; `tidecast kafka start` starts it on {status.bootstrap_servers}")
    else:
        answer = "answers" if status.answers else "does not answer yet"
        print(f"Kafka runs on {status.bootstrap_servers}, pid {status.pid}, and {answer}")
    if not as_json and action != "stop":
        print(f"data in {status.folder}, log in {status.log_file}")
    return 0 if action == "stop" or status.answers else 1


def _fetch(*, as_json: bool) -> int:
    jars = find_jars()
    size_bytes = sum(jar.stat().st_size for jar in jars)
    if as_json:
        print(json.dumps({"version": KAFKA_VERSION, "jars": [str(jar) for jar in jars], "size_bytes": size_bytes}))
    else:
        print(f"Kafka {KAFKA_VERSION}: {len(jars)} jars, {size_bytes / 1e6:.0f} MB, in {jars[0].parent.parent}")
    return 0
