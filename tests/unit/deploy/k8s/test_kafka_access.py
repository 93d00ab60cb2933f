"""Each component has the rights that the table of topics and the code need, and no other."""

from __future__ import annotations

import pytest

from actors.profiles import worker as profile_worker
from actors.rooms import worker as room_worker
from actors.state import table_reader
from deploy.k8s.kafka_access import COMPONENTS, components, topics_of
from deploy.k8s.overlays import configured, manifests
from deploy.serve.background_replicas import ArchiverReplica, TrainerReplica
from deploy.serve.encoder.encoder_replica import EncoderReplica
from deploy.serve.recommender_replica import RecommenderReplica
from deploy.serve.replicas import ProfileWorkerReplica, RoomWorkerReplica
from deploy.train import trainer
from streaming.log.loop import GroupMember
from streaming.log.topic_check import settings_of
from streaming.log.topics import ARCHIVED, READ_BY, TOPICS
from tests.unit.deploy.k8s.made import here, of_kind, the

RIGHTS = {component.user: topics_of(component) for component in COMPONENTS}


def may(user: str, operation: str) -> set[str]:
    return {topic for topic, operations in RIGHTS[user].items() if operation in operations}


def test_every_topic_has_a_reader_or_is_for_people_and_the_archive() -> None:
    assert READ_BY.keys() == TOPICS.keys()
    assert {topic for topic, readers in READ_BY.items() if not readers} == {"impressions", "dead-letter"}


def test_rights_are_those_that_the_code_uses() -> None:
    assert may("room-worker", "Read") == {*room_worker.TOPICS, "room-states"}
    assert may("room-worker", "Write") == {*room_worker.TOPICS, "room-states", "dead-letter"}
    assert may("profile-worker", "Read") == {"viewer-events", "viewer-profiles"}
    assert may("profile-worker", "Write") == {"viewer-events", "viewer-profiles", "room-activity", "dead-letter"}
    assert may("recommender", "Read") == {*table_reader.READ, "shown-rooms"}
    assert may("recommender", "Write") == {"impressions", "shown-rooms", "rules", "dead-letter"}
    assert (may("archiver", "Read"), may("archiver", "Write")) == (set(ARCHIVED), set())
    assert may("trainer", "Read") == may("trainer", "Write") == {"models"}
    assert (may("encoder", "Read"), may("encoder", "Write")) == ({"models"}, set())
    assert (may("producer", "Write"), may("producer", "Read")) == ({"rooms", "chat", "viewer-events"}, set())


def test_every_process_that_speaks_to_kafka_has_a_user_of_its_name() -> None:
    workers = (RoomWorkerReplica, ProfileWorkerReplica, ArchiverReplica, TrainerReplica)
    assert {replica.name for replica in (*workers, RecommenderReplica, EncoderReplica)} == RIGHTS.keys() - {"producer"}


@pytest.mark.parametrize(
    ("user", "group"), [("room-worker", room_worker.GROUP), ("profile-worker", profile_worker.GROUP)]
)
def test_a_worker_may_use_its_group_and_the_transactions_of_its_members(user: str, group: str) -> None:
    acls = the("prod", "KafkaUser", f"tidecast-{user}")["spec"]["authorization"]["acls"]
    by_type = {one["resource"]["type"]: one["resource"] for one in acls if one["operations"] != ["Describe"]}
    assert by_type["group"]["name"] == group
    transactional = GroupMember(group, f"{user}-3", ()).transactional_id
    assert by_type["transactionalId"]["patternType"] == "prefix"
    assert transactional.startswith(by_type["transactionalId"]["name"])


def test_who_reads_may_see_whose_open_transaction_holds_it_up() -> None:
    seen = {
        component.user: {
            acl["resource"]["name"]
            for acl in the("prod", "KafkaUser", f"tidecast-{component.user}")["spec"]["authorization"]["acls"]
            if acl["resource"]["type"] == "transactionalId" and "Describe" in acl["operations"]
        }
        for component in COMPONENTS
    }
    both = {"room-workers-", "profile-workers-"}
    assert seen["room-worker"] == seen["recommender"] == seen["archiver"] == both
    assert seen["profile-worker"] == {"profile-workers-"}, "RoomWorkers write nothing that it reads"
    assert seen["trainer"] == seen["encoder"] == seen["producer"] == set()


def test_the_trainer_may_have_its_lease_and_no_transaction() -> None:
    acls = the("prod", "KafkaUser", "tidecast-trainer")["spec"]["authorization"]["acls"]
    groups = [one for one in acls if one["resource"]["type"] == "group"]
    assert [(one["resource"]["name"], set(one["operations"])) for one in groups] == [
        (trainer.GROUP, {"Read", "Describe"})
    ]
    assert not any(one["resource"]["type"] == "transactionalId" for one in acls)


def test_a_prefix_is_in_front_of_topics_and_groups() -> None:
    made = manifests(configured("prod", None, ["topics.prefix=staging."]))
    names = {
        acl["resource"]["name"]
        for one in made
        if one["kind"] == "KafkaUser"
        for acl in one["spec"]["authorization"]["acls"]
    }
    names |= {one["spec"]["topicName"] for one in made if one["kind"] == "KafkaTopic"}
    assert names
    assert all(name.startswith("staging.") for name in names)


@pytest.mark.parametrize(
    ("overlay", "enabled", "erasure", "further"),
    [
        ("prod", "auto", "auto", {"rooms", "chat", "viewer-events"}),
        ("prod", "off", "auto", {"viewer-events"}),
        ("prod", "off", "off", set()),
        ("dev", "auto", "auto", set()),
        ("dev", "on", "auto", {"rooms", "chat", "viewer-events"}),
    ],
)
def test_a_recommender_writes_what_producers_write_only_where_that_is_taken_over_http(
    overlay: str, enabled: str, erasure: str, further: set[str]
) -> None:
    taking = components(configured(overlay, None, [f"intake.enabled={enabled}", f"http.erasure={erasure}"]))
    rights = {component.user: topics_of(component) for component in taking}
    written = {t for t, operations in rights["recommender"].items() if "Write" in operations}
    assert written == {"impressions", "shown-rooms", "rules", "dead-letter", *further}
    assert {t for t, operations in rights["recommender"].items() if "Read" in operations} == may("recommender", "Read")
    del rights["recommender"]
    assert rights == {user: of for user, of in RIGHTS.items() if user != "recommender"}


@pytest.mark.parametrize("overlay", ["dev", "prod", "prod-gpu"])
def test_topics_are_those_that_tidecast_topics_would_create(overlay: str) -> None:
    topics = here(overlay).settings.topics
    assert {one["spec"]["topicName"]: one["spec"] for one in of_kind(overlay, "KafkaTopic")} == {
        topics.prefix + topic.name: {
            "topicName": topics.prefix + topic.name,
            "partitions": topics.partitions_of(topic),
            "replicas": topics.replication_factor,
            "config": settings_of(topic, topics.replication_factor),
        }
        for topic in TOPICS.values()
    }
    assert topics.replication_factor <= here(overlay).config.kafka_brokers
