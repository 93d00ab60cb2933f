"""Tests of what a user sees while processes are killed under load, and what is on the log afterwards."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from tests.e2e.running import WAIT_S, Ends, Load, Running, Viewers, await_true
from tests.e2e.settled import differing_states
from training.content.text_encoder import TextEncoder

KILLS = Counter({"room-worker": 2, "profile-worker": 2, "encoder": 1, "recommender": 2, "broker": 1})
SEED = 20_251
# HAProxy waits so long for a replica that takes a request and says nothing, then asks the other one; usual is a second
MOST_WAIT_S = 5.0 + 3.0
PLATFORM = SimulationConfig(
    seed=5, rooms=16, viewers=120, chat_per_room_s=0.4, room_lifetime_s=120.0, topic_s=40.0, visit_s=20.0
)


def test_kills_lose_nothing_and_show_no_ended_room(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    kills = list(KILLS.elements())
    rng.shuffle(kills)
    with Running(tmp_path, workers=2, replicas=2) as running:
        ends, load = Ends(running.log), Load(running.log, Platform(PLATFORM))
        viewers = Viewers(running.client(), ends)
        for thread in (ends, load, viewers):
            thread.start()
        await_true("an answer", lambda: viewers.answers > 0)
        inflicted = []
        for name in kills:
            time.sleep(rng.uniform(0.5, 3.0))
            inflicted.append((name, time.monotonic()))
            if name == "broker":
                with ends.outage():
                    running.kafka.kill()
                    running.kafka.start()
            else:
                running.kill(name, 0 if name == "encoder" else rng.randrange(2))
            running.await_whole()
        load.halt()
        await_settled(running)
        viewers.halt()
        ends.halt()

        assert viewers.dead == []
        assert "tidecast_dead_rooms_returned_total 0.0" in running.metrics()
        assert "tidecast_segments_skipped_total 0.0" in running.metrics()  # the encoder kept up, so means are equal too
        # One replica of two is killed: what was on its way through it is lost, the next question is answered.
        assert len(viewers.failures) <= 3 * kills.count("recommender"), viewers.failures
        assert max((until - since for since, until in viewers.gaps), default=0.0) < MOST_WAIT_S, (
            viewers.gaps,
            inflicted,
        )
        assert viewers.answers > 500
        assert ends.applied_ms, "no room ended: the test shows nothing"


def await_settled(running: Running) -> None:
    """Waits until what is published equals what one undisturbed pass over the same input gives; fails with the rest."""
    settings = running.settings
    differing = differing_states(running.log, settings, TextEncoder(settings.encoder), WAIT_S)
    skipped = [line for line in running.metrics() if line.startswith("tidecast_segments_skipped")]
    assert not differing, f"{differing}; {skipped}"
