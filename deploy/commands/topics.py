"""Owns `tidecast topics`: creates what is missing and prints what differs. Never changes or deletes a topic."""

from __future__ import annotations

import argparse
import dataclasses
import json

from deploy.config import from_args
from streaming.broker import KafkaAdmin
from streaming.topic_check import TopicReport, check_topics

EPILOG = """\
examples:
  tidecast topics            creates missing topics, then one line per topic: created, ok or differs
  tidecast topics --json     the same as one JSON object
  TIDECAST_TOPICS__PREFIX=staging. tidecast topics     topics of their own on a shared cluster

Exit code 1 where a topic differs from what is expected: how, is printed; changing it is left to you, because more
partitions move keys, and shorter retention deletes. Whatever exists is never changed and never deleted.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "topics",
        help="create missing topics and say what differs; never deletes",
        description="Creates the topics that are missing and says how the others differ from what is expected.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    settings = from_args(args)
    with KafkaAdmin(settings.kafka.or_local(settings.local_kafka.bootstrap_servers)) as admin:
        reports = check_topics(admin, settings.topics)
    if args.json:
        print(json.dumps({"topics": [dataclasses.asdict(report) for report in reports]}))
    else:
        for report in reports:
            print_report(report)
    return 1 if any(report.state == "differs" for report in reports) else 0


def print_report(report: TopicReport) -> None:
    """One line for a topic and one more for each thing that differs."""
    print(f"{report.topic:<24} {report.partitions:>3} partitions   {report.state}")
    for difference in report.differences:
        print(f"    {difference.what}: expected {difference.expected}, found {difference.found}")
