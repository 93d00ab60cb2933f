"""The command `tidecast topics`: creates missing topics, prints differences, grows topics on request. Never deletes."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import say, say_json
from streaming.log.topic_check import PRODUCERS, TopicReport, check_topics, grow_topics
from streaming.log.topics import Partitioning

EPILOG = """\
examples:
  tidecast topics            creates missing topics, then one line per topic: created, ok or differs
  tidecast topics --json     the same as one JSON object
  tidecast topics --partitions 8        all topics by room and by viewer get 8 partitions, while everything runs
  tidecast topics --room-partitions 8   those by room alone: rooms, chat, room-activity, room-states
  TIDECAST_TOPICS__PREFIX=staging. tidecast topics     topics of their own on a shared cluster

Exit code 1 where a topic differs from what is expected: how, is printed. Without --partitions nothing that exists is
changed, because more partitions move keys, and shorter retention deletes. Nothing is ever deleted.

More partitions: workers and replicas take them up within some seconds, without a restart. Rooms and viewers whose keys
move keep their state; set topics.room_partitions and topics.viewer_partitions to the same, so that `tidecast topics`
expects it and more workers may run. Topics that belong together and have different numbers (kafka-topics --alter on one
of them) are an error that `tidecast status` shows; this command makes them equal again.
"""


def run(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of a table")] = False,
    partitions: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="grow all topics by room and by viewer to N")
    ] = None,
    room_partitions: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="grow the topics by room to N")
    ] = None,
    viewer_partitions: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="grow the topics by viewer to N")
    ] = None,
) -> int:
    """Creates missing topics, says how others differ from what is expected, and grows them if asked."""
    from streaming.broker import KafkaAdmin  # noqa: PLC0415  the help needs none of this

    settings = settings_of(context)
    asked: dict[Partitioning, int] = {}
    if (rooms := room_partitions or partitions) is not None:
        asked["room"] = rooms
    if (viewers := viewer_partitions or partitions) is not None:
        asked["viewer"] = viewers
    topics = dataclasses.replace(
        settings.topics,
        room_partitions=asked.get("room", settings.topics.room_partitions),
        viewer_partitions=asked.get("viewer", settings.topics.viewer_partitions),
    )
    with KafkaAdmin(settings.kafka.or_local(settings.local_kafka.bootstrap_servers)) as admin:
        reports = grow_topics(admin, topics, asked) if asked else check_topics(admin, topics)
    if json:
        say_json({"topics": [dataclasses.asdict(report) for report in reports]})
    else:
        for report in reports:
            print_report(report)
        for name, count in asked.items():
            if getattr(settings.topics, f"{name}_partitions") != count:
                say(f"set topics.{name}_partitions = {count} in your configuration: more workers may run then")
    return 1 if any(report.state == "differs" for report in reports) else 0


def print_report(report: TopicReport) -> None:
    """Prints one line for a topic, and one more for each difference."""
    packed = "" if report.compression == PRODUCERS else f"   packed with {report.compression}"
    say(f"{report.topic:<24} {report.partitions:>3} partitions   {report.state}{packed}")
    for difference in report.differences:
        say(f"    {difference.what}: expected {difference.expected}, found {difference.found}")
