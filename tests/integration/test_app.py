"""The application on a real Ray and Kafka: it comes up, answers, stays on loopback and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest
from kafka import KafkaProducer

from actors.settings import RecommendConfig, TablesConfig
from deploy.config.http_settings import HttpConfig
from deploy.config.ray_settings import RayConfig
from deploy.config.settings import Settings
from deploy.http.client import Client, NotUp
from deploy.http.status import troubles_of
from deploy.local.system import System
from deploy.ray.local_ray import LocalRay
from streaming.archive.config import ArchiveConfig
from streaming.archive.reader import Archive
from streaming.broker import KafkaLog
from streaming.errors import RequestError, UnknownViewer
from streaming.events import ChatMessage, Impression, RoomEnded, RoomId, RoomStarted, ViewerEvent, ViewerId
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import Decoder, encode
from streaming.log.partitioner import partition_of
from streaming.log.topics import CHAT, IMPRESSIONS, ROOM_STATES, ROOMS, VIEWER_EVENTS
from streaming.machine.ports import free_port
from tests.event_source import EventSource
from tests.eventually import eventually
from tests.reference import committed_values
from tidecast_client import Answer, Context, Problem, Query, Steer, Steered

PATIENCE_S = 60.0
VIEWERS = 6_000
HALF_A_BODY = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n{"


def figure(client: Client, name: str, labels: str = "") -> float:
    """A metric over all processes; without labels the sum over all of them."""
    lines = [line for line in client.metrics().splitlines() if line.startswith(f"tidecast_{name}") and labels in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def impression(system: System, viewer: str) -> Impression | None:
    """The last one of a viewer that is on the log."""
    log = KafkaLog(system.settings.kafka)
    found = committed_values(log, log.partitions(IMPRESSIONS)[partition_of(viewer.encode(), 4)]).get(viewer.encode())
    return None if found is None else Decoder(IMPRESSIONS)(found)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    settings = Settings(
        local_kafka=LocalKafkaConfig(folder=str(folder / "kafka"), port=free_port(), controller_port=free_port()),
        http=HttpConfig(port=free_port(), admin_port=free_port(), ready_contact_s=2.0),
        ray=RayConfig(room_workers=2, profile_workers=2),
        tables=TablesConfig(profiles_mb=1),  # some 1,500 short profiles, so that a few thousand do not fit in
        recommend=RecommendConfig(
            lookup_timeout_ms=1_000,  # on a busy machine 20 ms may pass
            impressions=1.0,
        ),
        archive=ArchiveConfig(uri=str(folder / "archive"), flush_s=1.0),
    )
    with System(settings, folder) as system:
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with contextlib.closing(system.client()) as client:
        yield client


@pytest.fixture(scope="module")
def broker(system: System) -> Iterator[LocalKafka]:
    """The system's, for a test that kills it and starts it again."""
    broker = LocalKafka(system.settings.local_kafka)
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def room(system: System) -> str:
    """A live room with a chat message and a viewer in it."""
    now_ms = time.time_ns() // 1_000_000
    sink = KafkaLog(system.settings.kafka).sink()
    started = RoomStarted(room="r1", streamer="s1", at_ms=now_ms, title="speedrun of a platformer", category="Games")
    entered = ViewerEvent(viewer="v1", room="r1", streamer="s1", action="enter", at_ms=now_ms)
    said = ChatMessage(room="r1", viewer="v1", text="what a jump", at_ms=now_ms)
    for topic, key, record in ((ROOMS, "r1", started), (CHAT, "r1", said), (VIEWER_EVENTS, "v1", entered)):
        sink.send(topic, key.encode(), encode(record))
    sink.close()
    return "r1"


def test_every_process_says_how_it_is(client: Client) -> None:
    posts = client.status().processes
    assert sorted((post.name, post.rank) for post in posts) == [
        *(("archiver", 0), ("encoder", 0), ("profile-worker", 0), ("profile-worker", 1)),
        *(("recommender", 0), ("recommender", 1), ("room-worker", 0), ("room-worker", 1)),
    ]

    def shared() -> bool:
        owned = [post.detail["partitions"] for post in client.status().processes if post.name.endswith("worker")]
        return owned == [[0, 1], [2, 3]] * 2

    eventually(shared, "two workers of each kind have half of the partitions each")


def test_both_replicas_answer_recommendations_directly(client: Client) -> None:
    eventually(lambda: figure(client, "replica_direct") == 2, "no replica has fallen back")


def test_what_is_on_the_log_is_archived_while_the_system_runs(system: System, room: str) -> None:
    def archived() -> bool:
        archive = Archive(system.settings.archive.uri)
        said = [one.record.text for one in archive.records(CHAT) if one.record.room == room]
        return said.count("what a jump") == 1 and next(archive.read(ROOM_STATES), None) is not None

    eventually(archived, "the archive has the message, once, and a state that a worker wrote")


def test_a_viewer_is_forgotten_over_http_by_every_replica(system: System, room: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    sink = KafkaLog(system.settings.kafka).sink()
    entered = ViewerEvent(viewer="forgotten", room=room, streamer="s1", action="enter", at_ms=now_ms)
    sink.send(VIEWER_EVENTS, b"forgotten", encode(entered))
    sink.close()

    def answers(known: bool) -> bool:
        with contextlib.closing(system.client()) as asker:
            return all(asker.recommend("forgotten").known is known for _ in range(20))

    eventually(lambda: answers(known=True), "every replica knows the viewer")
    for _ in range(2):
        request = urllib.request.Request(f"{system.settings.http.url}/v1/viewers/forgotten", method="DELETE")
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 202
            assert json.load(response)["viewer"] == "forgotten"
    eventually(lambda: answers(known=False), "no replica knows the viewer")


def test_a_partition_that_is_held_is_said_by_readyz_status_and_a_metric_until_it_is_not(
    system: System, client: Client
) -> None:
    kafka = system.settings.kafka.client()
    producer = KafkaProducer(**kafka, transactional_id="somebody-elses", transaction_timeout_ms=120_000)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(CHAT, key=b"r1", value=b"never committed", partition=2).get(timeout=30)

    def said() -> set[tuple[str, int, str, str]]:
        return {(one.topic, one.partition, one.kind, one.reader) for one in client.readiness().troubles}

    held = {(CHAT, 2, "held", "archiver"), (CHAT, 2, "held", "room-workers")}
    eventually(lambda: said() == held, "/readyz of a replica says what a worker and the archiver met")
    assert all("somebody-elses" in one.message for one in client.readiness().troubles)
    assert {(one.topic, one.partition) for one in troubles_of(client.status())} == {(CHAT, 2)}
    assert figure(client, "log_partition_troubles", 'kind="held"') == 2
    producer.abort_transaction()
    producer.close()
    eventually(lambda: not said(), "it is over")
    eventually(lambda: figure(client, "log_partition_troubles") == 0, "the metric says so")


def test_every_way_to_ask_goes_through_the_proxy(client: Client, room: str) -> None:
    eventually(lambda: [item.room for item in client.trending()] == [room], "the room is live")
    ranked = client.rank("somebody", rooms=("nobody's", room))
    assert ([item.room for item in ranked.rooms], ranked.not_live) == ([room], ["nobody's"])
    batch = client.recommend_batch([Query(viewer="somebody"), Query(viewer="somebody", cursor="no cursor")]).results
    assert isinstance(batch[0].answer, Answer)
    assert isinstance(batch[1].problem, Problem)
    assert (batch[0].answer.rooms[0].room, batch[1].problem.field) == (room, "cursor")
    (page,) = client.recommend_pages("somebody", context=Context(recent=("s1",), language="en"))
    assert page.rooms[0].reason == "you visited s1 before"
    eventually(lambda: seen(client, "v1") == [room], "the viewer's profile is there")
    eventually(lambda: client.trending(max_audience=0) == [], "the viewer is in the audience")


def test_an_operators_rule_is_obeyed_by_every_replica_and_ends(system: System, client: Client, room: str) -> None:
    def answers(*rooms: str) -> bool:
        with contextlib.closing(system.client()) as asker:
            return all([one.room for one in asker.recommend("any").rooms] == [*rooms] for _ in range(20))

    eventually(lambda: answers(room), "the room is live")
    assert client.put_rule("incident", action="hide", rooms=(room,)).name == "incident"
    eventually(answers, "no replica shows it")
    assert [(rule.name, rule.in_force, rule.live_rooms) for rule in client.rules()] == [("incident", True, 1)]
    assert client.rank("any", rooms=(room,)).hidden == [room]
    assert client.delete_rule("incident").restores_configured is False
    eventually(lambda: answers(room), "every replica shows it again")


def test_what_the_console_asks_is_answered_through_the_proxy(client: Client, room: str) -> None:
    eventually(lambda: [point.room for point in client.map_rooms(mature="any").rooms] == [room], "it has a vector")
    drawn = client.map_rooms(limit=5)
    again = client.map_rooms(limit=6, axes=drawn.axes)
    assert (again.axes, again.rooms[0].x, again.rooms[0].y) == (drawn.axes, drawn.rooms[0].x, drawn.rooms[0].y)
    eventually(lambda: "v1" in client.viewers(limit=20).viewers, "a viewer with an event is named")
    listed = client.models()
    assert (listed.answers, [(one.version, one.state) for one in listed.versions]) == ("v0", [("v0", "live")])
    assert client.promote_model("v0").reason == "version v0 is live already"
    with pytest.raises(RequestError, match="nothing to roll back to"):
        client.rollback_model()


def seen(client: Client, viewer: str) -> list[str]:
    """The rooms that a viewer visited, as far as is known yet."""
    try:
        return [visit.room for visit in client.viewer(viewer).visits]
    except UnknownViewer:
        return []


def test_a_room_is_recommended_with_its_vector_and_gone_when_it_has_ended(
    system: System, client: Client, room: str
) -> None:
    def shown() -> bool:
        items = client.recommend("somebody").rooms  # of either replica; one may be a moment ahead
        if not items or not items[0].receipt.segment_end_ms:
            return False
        assert [item.room for item in items] == [room]
        assert items[0].receipt.encoder_version
        return True

    eventually(shown, "the room is in the answers, and its vector saw the chat")
    noted = client.recommend("noted")
    eventually(lambda: impression(system, "noted") is not None, "what was shown is on the log")
    assert impression(system, "noted") == Impression(
        request_id=noted.request_id,
        viewer=ViewerId("noted"),
        rooms=(RoomId(room),),
        scores=(noted.rooms[0].score,),
        propensities=(1.0,),
        model_version=noted.model_version,
        at_ms=noted.generated_at_ms,
        sources=(noted.rooms[0].source,),
    )
    assert request_ids(system, "of-the-page") == ["of-the-page"]  # one header: Serve adds none of its own
    (own,) = request_ids(system, "not valid") or [""]
    assert len(own) == 32
    sink = KafkaLog(system.settings.kafka).sink()
    sink.send(ROOMS, room.encode(), encode(RoomEnded(room=room, at_ms=time.time_ns() // 1_000_000)))
    sink.close()
    eventually(lambda: not client.rooms(), "the room is gone")


def request_ids(system: System, given: str) -> list[str] | None:
    """The X-Request-Id of an answer, each time it is there. given: that of the request."""
    headers = {"content-type": "application/json", "x-request-id": given}
    request = urllib.request.Request(f"{system.url}/v1/recommend", b'{"viewer": "v"}', headers)
    with urllib.request.urlopen(request) as response:
        found: list[str] | None = response.headers.get_all("x-request-id")
        assert json.load(response)["request_id"] == (found or [""])[0]
        return found


def posted(system: System, topic: str, *records: dict[str, object], key: str = "") -> tuple[int, object]:
    """Posts records, and returns the status and how many were accepted."""
    headers = {"idempotency-key": key} if key else {}
    body = "\n".join(map(json.dumps, records)).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{system.url}/v1/{topic}", body, headers)) as response:
            return response.status, json.load(response)["accepted"]
    except urllib.error.HTTPError as err:
        with err:
            return err.code, json.load(err)["detail"]


def test_a_room_comes_and_goes_over_http_alone(system: System, client: Client) -> None:
    at = {"room": "by-http", "at_ms": time.time_ns() // 1_000_000}
    started = {"type": "started", "streamer": "s2", "title": "a knitting circle", **at}
    assert posted(system, "rooms", started) == (200, 1)
    eventually(lambda: [one.room for one in client.rooms()] == ["by-http"], "the room is listed")
    said = {"type": "chat", "viewer": "v7", "text": "purl two", **at}
    assert posted(system, "chat", said, {"type": "chat"}) == (207, 1)
    entered = {"type": "viewer", "viewer": "v7", "streamer": "s2", "action": "enter", **at}
    assert posted(system, "viewer-events", entered, key="k") == (200, 1)
    assert posted(system, "viewer-events", entered, key="k") == (200, 1)

    def shown() -> bool:
        (item,) = client.recommend("somebody").rooms
        return item.audience == 1 and item.receipt.segment_end_ms > 0

    eventually(shown, "one viewer, and a vector that saw the chat")
    assert posted(system, "rooms", {"type": "ended", **at}) == (200, 1)
    eventually(lambda: not client.rooms(), "the room is gone")


TITLES = {"kitchen": "Tuesday stream", "pitch": "just hanging out", "garage": "come and say hello"}


@pytest.fixture
def three_rooms(system: System, client: Client) -> Iterator[None]:
    """Rooms whose titles say nothing."""
    at_ms = time.time_ns() // 1_000_000
    common = {"type": "started", "at_ms": at_ms}
    posted(
        system, "rooms", *({"room": room, "streamer": f"s-{room}", "title": TITLES[room], **common} for room in TITLES)
    )
    eventually(lambda: {one.room for one in client.rooms()} >= TITLES.keys(), "all are listed")
    yield
    posted(system, "rooms", *({"type": "ended", "room": room, "at_ms": at_ms + 1} for room in TITLES))
    eventually(lambda: not TITLES.keys() & {one.room for one in client.rooms()}, "they are gone")


def test_a_room_is_found_by_what_is_said_there_and_not_after_its_end(
    system: System, client: Client, three_rooms: None
) -> None:
    text = "baking at home"
    assert all(item.source != "said" for item in client.search(text).rooms)  # from here on the text is known
    said_s = time.monotonic()
    said = {"type": "chat", "viewer": "v8", "room": "kitchen", "at_ms": time.time_ns() // 1_000_000}
    posted(system, "chat", {"text": "is your sourdough ready for the oven? the bread smells great", **said})

    def found() -> bool:
        first = client.search(text, limit=3).rooms[0]  # of either replica
        return (first.room, first.source, first.reason) == ("kitchen", "said", f'what is said here is like "{text}"')

    eventually(found, "the room is first, because of what was said there")
    sys.stdout.write(f"found by a search {time.monotonic() - said_s:.3f} s after the chat line was posted\n")

    def pulled() -> bool:
        answer = client.recommend("steering", steer=Steer(text=text, liked=["never"], disliked=["pitch"]))
        assert answer.steer == Steered(text="used", ended=[], unknown=["never"])
        assert "pitch" not in [item.room for item in answer.rooms]
        return (answer.rooms[0].room, answer.rooms[0].reason) == ("kitchen", f'like "{text}", as you asked')

    eventually(lambda: all(pulled() for _ in range(10)), "every replica has read what was said, and is steered there")
    eventually(lambda: getattr(impression(system, "steering"), "steered", False), "what was shown is on the log")
    posted(system, "rooms", {"type": "ended", "room": "kitchen", "at_ms": time.time_ns() // 1_000_000})

    def gone() -> bool:
        return "kitchen" not in [item.room for _ in range(20) for item in client.search(text).rooms]

    eventually(gone, "no replica finds it")


def test_with_the_encoder_away_known_texts_are_searched_for_and_others_refused_in_time(
    system: System, client: Client, three_rooms: None
) -> None:
    for _ in range(20):
        client.search("a known text")  # of both replicas
    (pid,) = [post.pid for post in client.status().processes if post.name == "encoder"]
    psutil.Process(pid).suspend()
    try:
        assert client.search("a known text").rooms
        began_s = time.monotonic()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{system.url}/v1/search?q=never%20asked")
        with caught.value as response:
            assert (response.code, response.headers["retry-after"]) == (503, "1")
            assert "in time" in json.load(response)["detail"]
        assert time.monotonic() - began_s < PATIENCE_S
        steered = client.recommend("somebody", steer=Steer(text="never asked either"))
        assert steered.steer == Steered(text="unavailable", ended=[], unknown=[])
        assert steered.rooms
    finally:
        psutil.Process(pid).resume()

    def again() -> bool:
        with contextlib.suppress(NotUp):
            return bool(client.search("never asked").rooms)
        return False

    eventually(again, "the Encoder is back")


def test_a_viewer_whom_the_replicas_let_go_is_asked_of_the_worker_that_owns_the_partition(
    system: System, client: Client, room: str
) -> None:
    assert not client.recommend("stranger").known
    assert figure(client, "viewer_lookups_total") == 0  # everything is held: nobody is asked
    now_ms = time.time_ns() // 1_000_000
    sink = KafkaLog(system.settings.kafka).sink()
    for number in range(VIEWERS):
        viewer = f"viewer-{number}"
        event = ViewerEvent(viewer=viewer, room=room, streamer="s1", action="enter", at_ms=now_ms)
        sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))
    sink.close()
    eventually(lambda: figure(client, "records_written_total", 'topic="viewer-profiles"') > VIEWERS, "profiles")
    eventually(lambda: client.readiness().lag["viewer-profiles"] == 0, "both replicas have read them")
    eventually(lambda: figure(client, "profiles_evicted_total") > 0, "not all fit in")
    early = [f"viewer-{number}" for number in range(40)]  # of all partitions, so of both workers
    assert all(client.recommend(viewer).known for viewer in early)
    assert figure(client, "viewer_lookups_total", 'outcome="found"') >= 1
    assert not client.recommend("stranger").known
    assert figure(client, "viewer_lookups_total", 'outcome="none"') == 1
    assert all(seen(client, f"viewer-{number}") == [room] for number in range(40, 60))
    assert seen(client, "stranger") == []


def test_metrics_are_those_of_all_processes(system: System, client: Client, room: str) -> None:
    text = client.metrics()
    assert 'tidecast_records_read_total{topic="chat"}' in text  # a RoomWorker's
    assert 'tidecast_records_read_total{topic="viewer-events"}' in text  # the ProfileWorker's
    assert "tidecast_replica_ready 2.0" in text  # both replicas', whichever answered


def test_errors_keep_their_form_through_the_proxy(system: System) -> None:
    request = urllib.request.Request(f"{system.url}/v1/recommend", b"{}", {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as response:
        assert response.headers["content-type"] == "application/problem+json"
        assert json.load(response)["field"] == "viewer"


def test_everything_listens_on_loopback_alone(system: System) -> None:
    pids = set(system.pids())
    assert pids
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in pids]
    assert listening
    loopback = ("127.0.0.1", "::ffff:127.0.0.1", "::1")
    assert [f"{c.laddr} {c.pid}" for c in listening if str(next(iter(c.laddr))) not in loopback] == []


def test_what_it_keeps_is_for_its_owner_alone(system: System) -> None:
    kafka = Path(system.settings.local_kafka.folder)
    running = system.running()
    assert running is not None
    kept = [kafka.parent, kafka, kafka / "data", Path(running.ray_folder), Path(system.settings.archive.uri)]
    assert {str(folder): oct(folder.stat().st_mode & 0o777) for folder in kept} == {str(f): "0o700" for f in kept}


def status_at(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as err:
        with err:
            assert err.headers["content-type"] == "application/problem+json"
            return err.code


def test_metrics_and_state_are_at_a_port_of_their_own_and_nothing_else_is(system: System) -> None:
    http = system.settings.http
    for path, public, admin in (
        ("/metrics", 404, 200),
        ("/v1/status", 404, 200),
        ("/v1/rooms", 200, 404),
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
    ):
        assert (status_at(http.url + path), status_at(http.admin_url + path)) == (public, admin), path


def test_no_port_of_it_runs_a_job(system: System) -> None:
    pids = set(system.pids())
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in pids]
    answers: dict[int, int] = {}
    for port in {int(c.laddr[1]) for c in listening}:
        url = f"http://127.0.0.1:{port}/api/job_agent/jobs/"
        request = urllib.request.Request(url, b'{"entrypoint": "true"}', {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answers[port] = response.status
        except urllib.error.HTTPError as err:
            with err:
                answers[port] = err.code
        except (OSError, HTTPException):  # it does not speak HTTP/1.1
            answers[port] = 0
    assert 401 in answers.values()  # that of the agent that prepares environments
    assert not [port for port, status in answers.items() if 200 <= status < 300]


def test_five_hundred_half_open_connections_leave_others_answered(system: System, client: Client) -> None:
    address = ("127.0.0.1", system.settings.http.port)
    halves = (b"", b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\n", HALF_A_BODY, HALF_A_BODY + b" " * 40_000)
    with contextlib.ExitStack() as stack:
        for number in range(500):
            connection = stack.enter_context(socket.create_connection(address, PATIENCE_S))
            connection.sendall(halves[number % len(halves)])
        for number in range(20):
            assert client.recommend(f"v{number}").viewer == f"v{number}"


def test_nonsense_is_answered_with_a_problem(system: System) -> None:
    with socket.create_connection(("127.0.0.1", system.settings.http.port), PATIENCE_S) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        got = connection.recv(4_096)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in got


def test_when_the_process_with_the_port_for_metrics_is_killed_another_takes_it(system: System, client: Client) -> None:
    port = system.settings.http.admin

    def holders() -> set[int | None]:
        return {
            c.pid
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr and int(c.laddr[1]) == port
        }

    (before,) = holders()
    assert before in system.pids()
    psutil.Process(before).kill()
    eventually(lambda: bool(holders() - {before}), "another process listens")
    assert "tidecast_" in client.metrics()
    eventually(lambda: len(client.status().processes) == 8, "every process is back")


def test_with_kafka_away_it_goes_on_answering_and_says_so(system: System, client: Client, broker: LocalKafka) -> None:
    assert broker.kill()
    try:
        eventually(lambda: client.readiness().state == "out of touch", "it notices")
        assert status_at(f"{system.url}/readyz") == 200
        assert client.readiness().reason.startswith("no word from Kafka")
        assert client.recommend("somebody").viewer == "somebody"
    finally:
        broker.start()
    eventually(lambda: client.readiness().state == "current", "it is in touch again")


def test_a_stream_outlives_silence_and_its_replica(system: System, client: Client) -> None:
    http = system.settings.http
    with EventSource(http.port, "/v1/stream/watcher?limit=5") as source:
        eventually(lambda: source.events, "a list comes through the proxy")
        eventually(lambda: source.heartbeats, "it is alive after longer than any other answer may be silent")
        assert source.connections == 1
        said = len(source.events)
        for rank in (0, 1):  # one of them has the stream; the other one too, by the time that it is its turn
            before = next(one for one in client.status().processes if (one.name, one.rank) == ("recommender", rank))
            psutil.Process(before.pid).kill()
            eventually(lambda rank=rank, pid=before.pid: is_replaced(client, rank, pid), "it is replaced")  # type: ignore[misc]
        beaten = source.heartbeats
        eventually(lambda: source.connections > 1 and source.heartbeats > beaten, "the client is back")
        assert len(source.events) == said, "nothing has changed, so nothing is sent"
    eventually(lambda: figure(client, "streams_open") == 0, "a client that left is noticed")


def is_replaced(client: Client, rank: int, pid: int) -> bool:
    """Whether a Recommender has a successor."""
    try:
        posts = client.status().processes
    except NotUp:
        return False
    return any((post.name, post.rank) == ("recommender", rank) and post.pid != pid for post in posts)


@pytest.mark.parametrize("name", ["room-worker", "encoder", "recommender"])
def test_a_killed_process_is_replaced_under_its_rank(system: System, client: Client, name: str) -> None:
    before = next(post for post in client.status().processes if (post.name, post.rank) == (name, 0))
    psutil.Process(before.pid).kill()

    def replaced() -> bool:
        try:
            posts = client.status().processes
        except NotUp:
            return False
        found = [post for post in posts if (post.name, post.rank) == (name, 0) and post.pid != before.pid]
        return bool(found) and found[0].detail.get("partitions", True) == before.detail.get("partitions", True)

    eventually(replaced, f"{name} is back with its partitions")


def test_a_second_start_says_that_the_first_runs(system: System) -> None:
    again = System(system.settings, Path(system.settings.local_kafka.folder).parent)
    with pytest.raises(Exception, match="runs already"):
        again.start()


def test_stopping_ends_every_process_within_ten_seconds(system: System) -> None:
    pids = system.pids()
    with EventSource(system.settings.http.port, "/v1/stream/watcher?limit=5") as source:
        eventually(lambda: source.connections, "somebody watches, and is not waited for")
        began_s = time.monotonic()
        assert system.stop()
    assert time.monotonic() - began_s < 10 * load_factor()
    assert not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert system.running() is None
    with pytest.raises(NotUp), contextlib.closing(system.client()) as client:
        client.status()


def load_factor() -> float:
    """Ten seconds are meant for a machine that does nothing else."""
    return max(1.0, psutil.getloadavg()[0] / (psutil.cpu_count() or 1))


def test_two_rays_run_side_by_side_and_one_ends_alone() -> None:
    one, two = LocalRay(RayConfig()), LocalRay(RayConfig())
    try:
        one.start()
        two.start()
        assert not set(one.pids()) & set(two.pids())
        one.kill()
        assert one.pids() == []
        assert two.pids()
        assert not one.folder.exists()
    finally:
        one.kill()
        two.kill()


@pytest.mark.parametrize(
    ("modules", "not_loaded"),
    [
        ("deploy.serve.recommender_replica, actors.recommend.recommender", {"torch"}),
        ("deploy.serve.replicas, actors.rooms.worker, actors.profiles.worker", {"torch", "numba", "faiss"}),
    ],
    ids=["recommender", "workers"],
)
def test_only_the_encoder_loads_torch_and_only_answers_their_kernels(modules: str, not_loaded: set[str]) -> None:
    code = f"import sys, {modules}; sys.exit(bool({not_loaded!r} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
