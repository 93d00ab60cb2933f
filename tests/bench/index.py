"""LiveIndex beside bare FAISS and beside a copy in memory, in one run. Never measures an answer."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import faiss
import numpy as np

from actors.index.live_index import LiveIndex
from actors.settings import IndexConfig

DIMENSION = 64
K = 100
UPSERT = 256  # rows


def ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Ours over theirs, and theirs in µs: best of rounds taken in turn, since other processes only ever add time."""
    best = [np.inf, np.inf]
    for _ in range(rounds):
        for which, call in enumerate((ours, theirs)):
            began = time.perf_counter()
            call()
            best[which] = min(best[which], time.perf_counter() - began)
    return float(best[0] / best[1]), float(best[1] * 1e6)


def measure(rows: int, rounds: int) -> dict[str, float]:
    """At one size: search of 1 and of 32 queries, and an upsert of UPSERT rows."""
    rng = np.random.default_rng(0)
    vectors_ND = rng.standard_normal((rows, DIMENSION), np.float32)
    index = LiveIndex(IndexConfig())
    index.put(np.array([index.slots.allocate() for _ in range(rows)], np.int64), vectors_ND)
    faiss.omp_set_num_threads(1)
    bare = faiss.IndexFlatIP(DIMENSION)
    bare.add(vectors_ND)
    queries_QD = rng.standard_normal((32, DIMENSION), np.float32)
    search, search_us = ratio(lambda: index.search(queries_QD[:1], K), lambda: bare.search(queries_QD[:1], K), rounds)
    batch, _ = ratio(lambda: index.search(queries_QD, K), lambda: bare.search(queries_QD, K), max(5, rounds // 10))
    slots = rng.choice(rows, UPSERT, replace=False)
    fresh_ND, target_ND = vectors_ND[:UPSERT].copy(), vectors_ND.copy()

    def copy() -> None:
        target_ND[slots] = fresh_ND

    upsert, upsert_us = ratio(lambda: index.put(slots, fresh_ND), copy, rounds)
    return {
        "search": search, "search_32": batch, "upsert": upsert, "bare_search_us": search_us, "copy_us": upsert_us,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    sizes = {rows: measure(rows, args.rounds) for rows in (10_000, 100_000)}
    figures = {f"{name}_{rows}": round(value, 3) for rows, of in sizes.items() for name, value in of.items()}
    figures["search_ratio"] = max(figures[f"search_{rows}"] for rows in sizes)
    figures["upsert_ratio"] = max(figures[f"upsert_{rows}"] for rows in sizes)
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
