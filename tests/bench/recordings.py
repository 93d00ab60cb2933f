"""Measures how fast recorded chat is read and checked, against pyarrow alone reading the same columns in the same run.

For each file: `read` is `Recording.batches`, every value looked at; `check` is what `tidecast replay` does before it
sends anything, which asks the topic's decoder of every row. Processor seconds, the median of the rounds, by turns.

    python -m tests.bench.recordings chat.parquet chat.csv chat.jsonl
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from streaming.recorded.json_records import LogCheck
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Recording

COLUMNS = ("channel", "room", "viewer", "text", "window")


def bare(path: Path) -> int:
    """Rows, as pyarrow reads them: types are guessed, values are not looked at."""
    columns = [name for name in ("at", "at_ms", *COLUMNS) if name in Recording.open(path).columns]
    if path.suffix == ".parquet":
        with pyarrow.parquet.ParquetFile(path) as file:
            return sum(len(batch) for batch in file.iter_batches(16_384, columns=columns))
    if path.suffix == ".csv":
        convert = pyarrow.csv.ConvertOptions(include_columns=columns)
        with pyarrow.csv.open_csv(path, convert_options=convert) as reader:
            return sum(len(batch) for batch in reader)
    with pyarrow.json.open_json(path) as reader:
        return sum(len(batch) for batch in reader)


def read(path: Path) -> int:
    """Rows, as evaluation and training read them."""
    return sum(len(batch["at_ms"]) for batch in Recording.open(path).batches(COLUMNS))


def check(path: Path) -> int:
    """Rows, as `tidecast replay` checks them."""
    rows = 0

    def seen(now: int) -> None:
        nonlocal rows
        rows = now

    Recording.open(path).check(LogCheck("chat", Selection()), skip_bad=False, progress=seen)
    return rows


def seconds(work: Callable[[Path], int], path: Path) -> tuple[float, int]:
    started_s = time.process_time()
    rows = work(path)
    return time.process_time() - started_s, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    figures = {}
    for path in args.files:
        taken: dict[str, list[float]] = {"bare": [], "read": [], "check": []}
        rows = 0
        for _ in range(args.rounds):
            for name, work in (("bare", bare), ("read", read), ("check", check)):
                took_s, rows = seconds(work, path)
                taken[name].append(took_s)
        median = {name: statistics.median(all_s) for name, all_s in taken.items()}
        figures[path.name] = {"rows": rows, **{f"{name}_cpu_s": round(took, 3) for name, took in median.items()}}
        print(
            f"{path.name}: {rows:,} rows; pyarrow alone {median['bare']:.2f} s, read {median['read']:.2f} s "
            f"({median['read'] / median['bare']:.2f} times), checked {median['check']:.2f} s"
        )
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
