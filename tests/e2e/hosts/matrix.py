"""Every fault, or those that are named, on one cluster; prints the table and writes it into docs/reliability.md.

    python -m tests.e2e.hosts.matrix [--only TEXT] [--write docs/reliability.md]

Ends with 1 where a promise was broken: a failed request, an ended room, another state. Needs root.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

from tests.e2e.hosts import cluster, network
from tests.e2e.hosts.faults import FAULTS
from tests.e2e.hosts.outcome_table import table, write
from tests.e2e.hosts.trial import Outcome, Trials

AIM_S = 15.0  # to be full and fresh again: what takes longer is told in detail


def main() -> int:
    """Runs the faults in order. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="faults whose name has this text, separated by commas")
    parser.add_argument("--write", type=Path, help="the file whose table is replaced")
    options = parser.parse_args()
    if reason := network.why_not() or cluster.why_not():
        print(f"skipped: {reason}")
        return 0
    wanted = [text for text in options.only.split(",") if text]
    outcomes: list[Outcome] = []
    try:
        with cluster.Cluster() as running, Trials(running) as trials:
            for fault in FAULTS:
                if not wanted or any(text in fault.name for text in wanted):
                    outcomes.append(trials.run(fault))
                    _say(outcomes[-1])
    finally:  # what was measured before an interrupt or an error is measured
        print(table(outcomes))
        if options.write is not None:
            machine = f"{os.cpu_count()} cores shared with other work, {platform.system()}"
            write(outcomes, "make hosts", machine, options.write)
    return 0 if all(outcome.keeps_promises for outcome in outcomes) else 1


def _say(outcome: Outcome) -> None:
    print(table([outcome]).splitlines()[-1], flush=True)
    for failure in outcome.failures[:5]:
        print(f"    {failure}", flush=True)
    if max(outcome.full_s, outcome.fresh_s) > AIM_S:
        for said in outcome.course:
            print(f"    {said}", flush=True)
    for failure, count in outcome.elsewhere.items():
        print(f"    at hosts that were away: {count} × {failure}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
