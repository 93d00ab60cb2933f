"""Tests of deploy.config.settings and of `tidecast config`. Never reads this machine's own configuration."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Literal

import pytest

from deploy.cli import main
from deploy.commands.config import as_json, as_toml
from deploy.config.key import EnvText, Key, convert, is_secret
from deploy.config.line_numbers import key_lines
from deploy.config.settings import Loaded, Settings, known_keys, load
from deploy.terminal.console import CleanFormatter
from streaming.errors import ConfigError
from streaming.masked_uri import MASK


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "tidecast.toml"


def key(kind: object) -> Key:
    return Key("section.key", kind)


def test_without_file_and_environment_every_key_is_a_default() -> None:
    loaded = load(None, {})
    assert loaded.settings == Settings()
    assert {loaded.origin(known.name) for known in known_keys()} == {"default"}


def test_goals_of_a_variant_are_weights_that_lists_have(toml: Path) -> None:
    text = '[[experiments.running]]\nname = "aim"\nvariants = [{{name = "enter"}}, {{name = "stay", goals = {}}}]\n'
    toml.write_text(text.format("{stay = 4}"))
    (experiment,) = load(toml, {}).settings.experiments.running
    assert [variant.goals for variant in experiment.variants] == [{}, {"stay": 4}]
    for goals, said in (
        ("{applause = 4}", "'aim', 'stay': goals: unknown weight 'applause'; there are enter"),
        ("{enter = 0}", "'aim', 'stay': goals: one of enter, stay"),
        ("{stay = 101}", "101"),
    ):
        toml.write_text(text.format(goals))
        with pytest.raises(ConfigError, match=said):
            load(toml, {})


def test_environment_wins_over_file_and_file_over_default(toml: Path) -> None:
    toml.write_text("# ours\n[topics]\nroom_partitions = 8\nviewer_partitions = 9\n")
    loaded = load(toml, {"TIDECAST_TOPICS__ROOM_PARTITIONS": "16"})
    topics = loaded.settings.topics
    assert (topics.room_partitions, topics.viewer_partitions, topics.replication_factor) == (16, 9, 1)
    assert loaded.origin("topics.room_partitions") == "env TIDECAST_TOPICS__ROOM_PARTITIONS"
    assert loaded.origin("topics.viewer_partitions") == f"{toml}:4"


def test_file_of_the_working_folder_is_read_when_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tidecast.toml").write_text('topics.prefix = "staging."\n')
    loaded = load(None, {})
    assert loaded.settings.topics.prefix == "staging."
    assert loaded.origin("topics.prefix") == "tidecast.toml:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[topics]\nroom_partition = 3\n",
            r"unknown key topics\.room_partition .*:2\); did you mean topics\.room_part",
        ),
        ("[topic]\nroom_partitions = 3\n", r"unknown section topic .*did you mean topics\.room_partitions\?"),
        ("[topisc]\nx = 3\n", r"unknown section topisc .*did you mean topics\?"),
        ("[topisc]\n", r"unknown section topisc"),
        ("topics = 3\n", r"topics is a section; write it as \[topics\]"),
        ("[topics]\nroom_partitions = true\n", r"topics\.room_partitions = True \(.*:2\): expected a whole number"),
        ('[topics]\nroom_partitions = "3"\n', r"topics\.room_partitions = '3' \(.*:2\): expected a whole number"),
        ("[topics]\nprefix = 3\n", r"topics\.prefix = 3 \(.*:2\): expected a text"),
        ("[topics]\nroom_partitions = 0\n", r"topics\.room_partitions is 0; .*from .*tidecast\.toml:2"),
        ('[index]\ndtype = "float64"\n', r"index\.dtype = 'float64' \(.*:2\): expected one of float32, float16;"),
        ("[topics\n", r"is not TOML"),
    ],
)
def test_mistake_in_the_file_is_named_with_its_place(toml: Path, text: str, expected: str) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        load(toml, {})


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "TIDECAST_TOPICS__ROOM_PARTITIONS",
            "many",
            r"= 'many' \(env TIDECAST_TOPICS__ROOM_PARTITIONS\): expected a w",
        ),
        ("TIDECAST_TOPICS__ROOM_PARTITION", "3", r"unknown key topics\.room_partition \(env .*did you mean"),
        ("TIDECAST_TOPIC__PREFIX", "x", r"unknown section topic "),
        ("TIDECAST_HTTP_PORT", "8001", r"is not read; did you mean TIDECAST_HTTP__PORT\?"),
        ("TIDECAST_TOPICS_ROOM_PARTITIONS", "3", r"is not read; did you mean TIDECAST_TOPICS__ROOM_PARTITIONS\?"),
    ],
)
def test_mistake_in_the_environment_names_the_variable(variable: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load(None, {variable: value})


def test_variables_that_a_cluster_sets_for_a_service_of_our_name_are_left_alone() -> None:
    host, link = "10.0.0.1", "tcp://10.0.0.1:8000"
    of_tidecast = {"TIDECAST_SERVICE_HOST": host, "TIDECAST_PORT": link, "TIDECAST_PORT_8000_TCP_ADDR": host}
    of_tidecast_http = {
        "TIDECAST_HTTP_SERVICE_HOST": host,
        "TIDECAST_HTTP_SERVICE_PORT": "8000",
        "TIDECAST_HTTP_SERVICE_PORT_ADMIN_PORT": "8001",
        "TIDECAST_HTTP_PORT": link,
        "TIDECAST_HTTP_PORT_8000_TCP": link,
        "TIDECAST_HTTP_PORT_8000_TCP_PROTO": "tcp",
        "TIDECAST_HTTP_PORT_8000_TCP_PORT": "8000",
        "TIDECAST_HTTP_PORT_8000_TCP_ADDR": host,
    }
    assert load(None, {**of_tidecast, **of_tidecast_http, "TIDECAST_LOCAL_KAFKA_PORT": link}).origins == {}


def test_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*absent\.toml: No such file"):
        load(tmp_path / "absent.toml", {})


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("2.5", float, 2.5),
        ("3", float, 3.0),
        ("true", bool, True),
        ("0", bool, False),
        ("007", str, "007"),
        ("null", str, "null"),
        ("fast", Literal["fast", "slow"], "fast"),
        ("/data", Path, Path("/data")),
        ("a, b", tuple[str, ...], ("a", "b")),
        ("", tuple[str, ...], ()),
        ("1,2", tuple[int, ...], (1, 2)),
        ('["a,b"]', tuple[str, ...], ("a,b",)),
        ('{"a": "b"}', dict[str, str], {"a": "b"}),
    ],
)
def test_text_of_the_environment_becomes_the_type_of_its_key(text: str, kind: object, value: object) -> None:
    assert convert(EnvText(text), key(kind), "env X") == value


@pytest.mark.parametrize(
    ("text", "kind"), [("nan", float), ("inf", float), ("yes please", bool), ("medium", Literal["a"])]
)
def test_text_that_is_not_of_the_type_is_refused(text: str, kind: object) -> None:
    with pytest.raises(ConfigError, match=r"section\.key = .* \(env X\): expected"):
        convert(EnvText(text), key(kind), "env X")


def test_value_of_a_secret_is_not_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        convert(EnvText("hunter2"), Key("kafka.sasl_password", int), "env X")
    assert "hunter2" not in str(caught.value)


def test_secrets_are_told_by_their_name() -> None:
    assert is_secret("kafka.sasl_password")
    assert is_secret("ray.redis_token")
    assert not is_secret("encoder.max_tokens")


def test_lines_are_found_under_their_section() -> None:
    assert key_lines("a = 1\n[b . c] # why\n\nd = 2\n e=3\n# f = 4\n") == {"a": 1, "b.c.d": 4, "b.c.e": 5}


def test_printed_configuration_loads_to_the_same_settings(toml: Path) -> None:
    loaded = load(None, {"TIDECAST_TOPICS__PREFIX": 'a "quoted"\ttab.'})
    toml.write_text(as_toml(loaded))
    assert load(toml, {}).settings == loaded.settings


def test_printed_configuration_says_where_each_value_comes_from() -> None:
    loaded = load(None, {"TIDECAST_TOPICS__ROOM_PARTITIONS": "8"})
    lines = {line.split(" = ")[0]: line for line in as_toml(loaded).splitlines() if " = " in line}
    assert lines["room_partitions"].endswith("# env TIDECAST_TOPICS__ROOM_PARTITIONS")
    assert lines["replication_factor"].endswith("# default")
    assert json.loads(as_json(loaded))["topics.room_partitions"] == {
        "value": 8,
        "from": "env TIDECAST_TOPICS__ROOM_PARTITIONS",
    }


@pytest.mark.parametrize("known", list(known_keys()), ids=lambda known: known.name)
def test_every_section_has_a_default_for_every_key(known: Key) -> None:
    assert known.name in json.loads(as_json(Loaded(Settings(), {})))


URI = "s3://AKIA:wJalr/XUtn@bucket/chat?secret_key=wJalrXUtn"


@pytest.mark.parametrize("words", [["config"], ["config", "--json"]])
def test_secrets_in_uris_are_not_shown(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDECAST_ARCHIVE__URI", URI)
    monkeypatch.setenv("TIDECAST_REGISTRY__URI", URI)
    monkeypatch.setenv("TIDECAST_KAFKA__BOOTSTRAP_SERVERS", "user:wJalr@one:9092,user:wJalr@two:9092")
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "wJalr" not in said
    assert f"s3://AKIA:{MASK}@bucket/chat?secret_key={MASK}" in said
    assert f"user:{MASK}@one:9092,user:{MASK}@two:9092" in said


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (f'[archive]\nuri = ["{URI}"]\n', ["config"]),
        (f'archive = "{URI}"\n', ["config"]),
        (f'[archive]\nuri = "{URI.replace("s3:", "nowhere:")}"\n', ["archive", "ls"]),
        (f'[registry]\nuri = "{URI.replace("s3:", "nowhere:")}"\n', ["models", "publish", "."]),
    ],
)
def test_an_error_about_a_uri_is_told_without_its_secrets(
    text: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text(text)
    assert main(["--config", str(toml), *command]) == 2
    said = capsys.readouterr().err
    assert "wJalr" not in said
    assert MASK in said


def test_log_lines_are_told_without_secrets() -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 1, "archive %s", (URI,), None)
    assert "wJalr" not in CleanFormatter("%(message)s").format(record)
