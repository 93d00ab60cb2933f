"""Measures how fast recorded chat becomes examples, beside replaying and decoding it alone. Never asserts.

Encoding is no part of it. The last line of --json: `ratio` (of the bare replay's seconds to ours), `messages_per_s`,
`examples_per_s`, `seconds`, `cpu_s`, and `full_s`, what 1.7 million messages would take at that rate.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay
from training.examples.event_stream import from_replay
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_recorded

RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "twitch-chat-2025" / "chat.parquet"
WHOLE = 1_729_301  # messages of the recording


class Printed:
    """Says now and then how far it is."""

    def __init__(self) -> None:
        self._began_s = self._said_s = time.monotonic()

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s > 10:
            self._said_s = now_s
            rate = records / (now_s - self._began_s)
            print(f"{records:,} records, {examples:,} examples, {rate:,.0f} records/s", flush=True)


def replay_of(path: Path, limit: int | None) -> Replay:
    return Replay(Recording.open(path), selection=Selection(limit=limit))


def measure(path: Path, limit: int | None, config: ExamplesConfig, *, chat_texts: bool) -> dict[str, float]:
    """All figures."""
    replay = replay_of(path, limit)
    began_s = time.perf_counter()
    records = sum(1 for _ in from_replay(replay))
    bare_s = time.perf_counter() - began_s
    with tempfile.TemporaryDirectory() as folder:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        replay = replay_of(path, limit)
        made = write_recorded(replay, Path(folder) / "examples", config, Printed(), chat_texts=chat_texts)
        seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        num_bytes = sum(file.stat().st_size for file in (Path(folder) / "examples").iterdir())
    return {
        "messages": replay.rows,
        "records": records,
        "examples": len(made),
        "megabytes": round(num_bytes / 1e6, 1),
        "bare_replay_s": round(bare_s, 2),
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "messages_per_s": round(replay.rows / seconds),
        "examples_per_s": round(len(made) / seconds),
        "full_s": round(seconds / replay.rows * WHOLE),
        "ratio": round(bare_s / seconds, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", type=Path, default=RECORDED)
    parser.add_argument("--limit", type=int, help="only the first so many messages")
    parser.add_argument("--share", type=float, default=1.0, help="of the visits that become examples")
    parser.add_argument("--no-chat-texts", action="store_true", help="no text of chat is wanted")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    config = ExamplesConfig(share=args.share)
    figures = measure(args.recording, args.limit, config, chat_texts=not args.no_chat_texts)
    for name, value in figures.items():
        print(f"{name:16} {value:14,}")
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
