"""False alarms of A/A tests and the gain found by an A/B test, on the simulator's guests and a real Recommender.

    python -m tests.bench.alarms [--json] [--guests N] [--seconds S] [--salts N] [--gain G]

`alarms` are the shares of salts under which a metric differs with p < .05; 5 % should. `by_impression` is that of
entering if impressions were taken to be independent. One log serves all salts (tests/alarms.py says why). Then guests
of one variant like rooms `--gain` times as easily, and the report compares the variants.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

from tests.alarms import METRICS, PAIR, false_alarms, shown_of
from tests.bench.stack import say
from training.report.comparison import compare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=600, help="of the guests' time")
    parser.add_argument("--salts", type=int, default=1_000)
    parser.add_argument("--gain", type=float, default=1.5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    began_s = time.monotonic()
    shown = shown_of(asked.guests, asked.seconds)
    say(f"A/A: {shown.answers} answers, {len(shown)} impressions, {int(shown.entered_N.sum())} enters")
    alarms = false_alarms(shown, asked.salts)
    for metric, share in alarms.by_metric.items():
        say(f"  {metric}: {share:.1%} of {asked.salts} salts are alarms")
    say(f"  entering, by impression: {alarms.by_impression:.1%}; sample ratio mismatches: {alarms.mismatches:.1%}")
    planted = compare(shown_of(asked.guests, asked.seconds, gain=asked.gain), PAIR.name, PAIR)
    control, other = planted.variants
    found = {metric: getattr(other, metric) for metric in METRICS}
    say(f"A/B: guests of variant b like rooms {asked.gain:g} times as easily")
    for metric, difference in found.items():
        base = getattr(control.figures, metric).value
        gained, low, high = (part / base for part in (difference.value, difference.low, difference.high))
        say(f"  {metric}: {gained:+.1%} ({low:+.1%} to {high:+.1%}), p {difference.p:.2g}")
    if asked.json:
        result = {
            "alarms": alarms.by_metric,
            "by_impression": alarms.by_impression,
            "mismatches": alarms.mismatches,
            "salts": alarms.salts,
            "answers": shown.answers,
            "found": {metric: asdict(difference) for metric, difference in found.items()},
            "gain": asked.gain,
            "took_s": round(time.monotonic() - began_s, 1),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
