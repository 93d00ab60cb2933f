"""Owns `tidecast schema`: prints the JSON Schema of a topic's records. Never talks to a broker."""

from __future__ import annotations

import argparse

from deploy.terminal.console import say, say_json
from streaming.codec import json_schema
from streaming.topics import TOPICS

EPILOG = """\
examples:
  tidecast schema chat             what a chat message must look like
  tidecast schema rooms > rooms.schema.json
  tidecast schema                  every topic: key, format, who writes it

Topics that producers write carry JSON; topics that only Tidecast writes carry the same fields as a MessagePack array.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "schema",
        help="the JSON Schema of a topic's records",
        description="Prints the JSON Schema (draft 2020-12) of a topic's records, or the list of topics.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("topic", nargs="?", choices=tuple(TOPICS), metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--json", action="store_true", help="the list of topics as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.topic is not None:
        say_json(json_schema(args.topic), indent=2)
        return 0
    listed = {
        topic.name: {"key": topic.key, "format": topic.format, "written_by": topic.written_by}
        for topic in TOPICS.values()
    }
    if args.json:
        say_json(listed)
        return 0
    for name, topic in listed.items():
        say(f"{name:<16} key {topic['key']:<8} {topic['format']:<8} written by {topic['written_by']}")
    return 0
