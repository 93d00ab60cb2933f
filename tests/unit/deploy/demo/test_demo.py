"""Tests of the demo's parts that need neither Kafka nor Ray. Never starts the demo; the e2e test does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn, cast

import pytest

from deploy import cli
from deploy.commands.command_line import Command
from deploy.commands.demo import PlatformOptions, as_json, console_page, feed, rooms_for, summary
from deploy.config.settings import Settings
from deploy.demo.demo import Speed, Stage, Stopwatch, WarmUp, for_demo
from deploy.demo.feed import Feed, FeedError
from deploy.demo.promises import Verdict
from deploy.http.prometheus_text import Exposition, parse
from streaming.clock import ManualClock
from streaming.errors import TidecastError

FAST = Speed(150.0, 2.0)
KEPT = Verdict(answers=5, items=50, freshness_p50_s=0.2, freshness_p99_s=None, broken=())


def test_platform_is_simulated_or_recorded() -> None:
    assert feed(PlatformOptions(rooms=7), FAST)[:3] == ["simulate", "--rooms", "7"]
    recorded = feed(PlatformOptions(Path("c.toml"), Path("chat.parquet")), FAST)
    assert recorded == ["--config", "c.toml", "replay", "chat.parquet"]


def test_slow_machine_gets_a_smaller_platform_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert feed(PlatformOptions(), FAST)[1:5] == ["--rooms", "60", "--viewers", "500"]
    assert capsys.readouterr().err == ""
    assert feed(PlatformOptions(), Speed(40.0, 2.0))[1:5] == ["--rooms", "37", "--viewers", "308"]
    assert (
        "slow machine: its encoder does 40 texts a second, 2.0 cores are free; a platform of 37 rooms"
        in capsys.readouterr().err
    )
    assert feed(PlatformOptions(rooms=60), Speed(4.0, 0.2))[1:5] == ["--rooms", "60", "--viewers", "500"]
    assert capsys.readouterr().err == ""
    assert feed(PlatformOptions(), None)[1:3] == ["--rooms", "5"]
    assert "does not answer in time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts_per_s", "cores", "rooms"),
    [(0.1, 0.1, 5), (30.0, 0.25, 5), (30.0, 1.0, 10), (120.0, 1.5, 42), (150.0, 2.0, 60), (1e6, 64.0, 60)],
)
def test_rooms_are_as_many_as_the_machine_keeps_fresh(texts_per_s: float, cores: float, rooms: int) -> None:
    assert rooms_for(Speed(texts_per_s, cores)) == rooms


def test_a_machine_nobody_could_measure_gets_the_least() -> None:
    assert rooms_for(None) == 5


def looked(encoded_s: float, backlog: int) -> Exposition:
    return parse(
        f"tidecast_encode_seconds_sum {encoded_s}\ntidecast_encoder_backlog {backlog}\n"
        'tidecast_rooms_live{reader="room-workers"} 60\n'
    )


def test_freshness_is_judged_once_what_waited_for_the_encoder_is_encoded() -> None:
    warm_up = WarmUp(100.0)
    assert not warm_up.is_over(looked(0.0, 60), 120.0)  # the model is being loaded
    assert not warm_up.is_over(looked(1.0, 5), 124.0)
    assert not warm_up.is_over(looked(1.0, 31), 126.0)
    assert warm_up.is_over(looked(1.0, 30), 127.0)
    assert warm_up.is_over(looked(1.0, 90), 128.0)


def test_encoder_that_stays_behind_is_judged_all_the_same() -> None:
    warm_up = WarmUp(100.0)
    assert not warm_up.is_over(looked(0.0, 90), 110.0)
    assert not warm_up.is_over(looked(1.0, 90), 124.0)
    assert warm_up.is_over(looked(1.0, 90), 125.0)


def test_command_that_shows_the_pages_exists_with_these_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Command, "invoke", lambda *_: 0)  # read, and not run
    assert cli.main(console_page(PlatformOptions(Path("c.toml")))) == 0


@pytest.mark.parametrize("line", ["", "--recording chat.parquet", "--config c.toml --rooms 7 --viewers 9 --seed 3"])
def test_command_that_plays_the_platform_exists_with_these_options(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[PlatformOptions] = []

    def stop(_settings: object, feed: Callable[[Speed], object], *_: object, **__: object) -> NoReturn:
        (platform,) = cast("partial[object]", feed).args
        heard.append(platform)
        raise TidecastError("enough")

    monkeypatch.setattr("deploy.demo.demo.Demo", stop)
    monkeypatch.setattr("deploy.commands.demo.settings_of", lambda _context: Settings())
    assert cli.main(["demo", *line.split()]) == 2
    monkeypatch.setattr(Command, "invoke", lambda *_: 0)  # read, and not run
    assert cli.main(feed(heard[0], FAST)) == 0
    if "--seed" in line:
        assert heard == [PlatformOptions(Path("c.toml"), None, 7, 9, 3)]


def test_own_kafka_is_apart_from_that_of_up(tmp_path: Path) -> None:
    assert for_demo(Settings(), tmp_path).local_kafka.folder == str(tmp_path / "kafka")


def test_encoder_of_the_demo_measures_what_the_machine_does(tmp_path: Path) -> None:
    assert for_demo(Settings(), tmp_path).encoder.measure_s > 0
    assert Settings().encoder.measure_s == 0, "a system that serves does not wait for that"


def test_topics_on_an_existing_kafka_are_apart_from_a_real_platforms(tmp_path: Path) -> None:
    settings = Settings()
    existing = replace(settings, kafka=replace(settings.kafka, bootstrap_servers="broker:9092"))
    assert for_demo(existing, tmp_path).topics.prefix == "demo."


def test_steps_are_timed_until_the_start_is_over() -> None:
    clock, told = ManualClock(), list[str]()
    watch = Stopwatch(clock, told.append)
    watch.step("kafka")
    clock.advance(2_000)
    watch.step("ray")
    clock.advance(3_000)
    watch.finish()
    watch.step("stopping")
    clock.advance(1_000)
    watch.step("stopping more")
    assert watch.stages == [Stage("kafka", 2.0), Stage("ray", 3.0)]
    assert told == ["kafka", "ray", "stopping", "stopping more"]


def test_summary_says_what_was_kept_and_what_was_broken() -> None:
    assert summary(KEPT, [Stage("kafka", 2.0)]).endswith("p50 200 ms, p99 -\nevery promise was kept")
    slow = replace(KEPT, slow=("half of the chat took longer than 2.00 s",))
    assert "slow machine: half of the chat took longer than 2.00 s" in summary(slow, [])
    assert "every promise was kept" not in summary(slow, [])
    broken = replace(KEPT, broken=("a request failed",))
    assert summary(broken, []).endswith("BROKEN: a request failed")
    assert json.loads(as_json(broken, [Stage("kafka", 2.0)]))["stages_s"] == {"kafka": 2.0}


def test_feed_that_fails_says_what_it_printed(tmp_path: Path) -> None:
    playing = Feed(["no-such-command"], {}, tmp_path / "platform.log")
    deadline_s = time.monotonic() + 30
    with pytest.raises(FeedError, match="invalid choice: 'no-such-command'"):
        while time.monotonic() < deadline_s:
            playing.require()
    playing.stop()
