"""What operators' rules cost: a recommendation with 0, 10 and 100 of them, and what it takes to put one in force.

    python -m tests.bench.rules [--rooms N] [--model] [--turns N] [--json]

One recommender takes the rules and is asked in turns with another one of the same rooms that has none, so that the
ratios mean something on a busy machine. A third one has the same rules and an experiment whose second variant has
them off, but for those that hide: every other viewer is under columns of their own, with fewer rules in them. A quarter
of the rules pin a room, a quarter boost, bury and hide each; every fourth names a category or a language and the others
a room or a streamer.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from actors.recommend.recommender import Query, Recommender
from actors.settings import RecommendConfig
from streaming.clock import SystemClock
from streaming.log.codec import encode
from streaming.log.topics import RULES
from streaming.operator_rule import OperatorRule, RuleAction
from streaming.prometheus import PrometheusMetrics
from tests.bench.asking import VIEWERS, filled
from tests.bench.recommend import batch_of
from training.experiments import Experiment, Variant

ACTIONS: tuple[RuleAction, ...] = ("pin", "boost", "bury", "hide")


def rules(num: int, recommender: Recommender) -> list[OperatorRule]:
    """Rules over what is live."""
    states = [snapshot.state for snapshot in recommender.tables.rooms.by_slot.values()]
    rng, made = np.random.default_rng(2), []
    now_ms = time.time_ns() // 1_000_000
    for number, place in enumerate(rng.permutation(len(states))[:num].tolist()):
        state, action = states[place], ACTIONS[number % 4]
        is_wide = number // 4 % 4 == 0 and action != "hide"
        named = (
            {"categories": (state.category,), "languages": (state.language,)}
            if is_wide
            else {"rooms": (state.room,)}
            if number % 2
            else {"streamers": (state.streamer,)}
        )
        at = {"position": 1 + number // 4 % 20} if action == "pin" else {}
        made.append(OperatorRule(name=f"r{number}", action=action, at_ms=now_ms, **named, **at))  # type: ignore[arg-type]
    return made


def trying(recommender: Recommender, switched: list[OperatorRule]) -> Recommender:
    """Another recommender over the same tables, with an experiment that has rules off for half of the viewers."""
    names = tuple(rule.name for rule in switched if rule.action != "hide")
    trial = Experiment(name="trial", variants=(Variant(name="on"), Variant(name="off", rules_off=names)))
    other = Recommender(recommender.tables, RecommendConfig(), PrometheusMetrics(), SystemClock(), experiments=[trial])
    other.renew()
    return other


def ask_us(recommenders: list[Recommender], turns: int) -> list[float]:
    """Median processor time of a recommendation by each, in µs; they take turns."""
    queries = [Query(viewer=f"viewer-{number}") for number in range(VIEWERS)]
    taken: list[list[float]] = [[] for _ in recommenders]
    for turn in range(VIEWERS + turns):
        for recommender, times in zip(recommenders, taken, strict=True):
            began = time.thread_time()
            recommender.recommend_json(queries[turn % VIEWERS])
            times.append(time.thread_time() - began)
    return [float(np.median(times[VIEWERS:])) * 1e6 for times in taken]  # each viewer's profile is read once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--model", action="store_true", help="answer by a model (untrained) instead of version 0")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    plain, ruled = (filled(args.rooms, with_model=args.model) for _ in range(2))
    figures: dict[str, float] = {}
    for num in (0, 10, 100):
        ruled.tables.forget(RULES)
        put_us = []
        for rule in (put := rules(num, ruled)):
            began = time.thread_time()
            ruled.tables.apply(batch_of(RULES, [(rule.name, encode(rule))]))
            put_us.append((time.thread_time() - began) * 1e6)
        without_us, with_us = ask_us([plain, ruled], args.turns)
        figures |= {f"{num} rules, us": with_us, f"{num} rules, times without": with_us / without_us}
        if put_us:
            everyones_us, tried_us = ask_us([ruled, trying(ruled, put)], args.turns)
            figures |= {f"{num} rules tried, times untried": tried_us / everyones_us}
            figures |= {f"{num} rules, put us": float(np.median(put_us)), f"{num} rules, put us at most": max(put_us)}
    if args.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        print(f"{name:28} {value:10.2f}")


if __name__ == "__main__":
    main()
