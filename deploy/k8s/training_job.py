"""The RayCronJob that trains, a cluster of one pod for the length of a run, and the Job that takes a version back.

Never learns anything itself. A RayCronJob has no concurrencyPolicy (KubeRay 1.7): one run may begin before the last has
ended. Each has a folder of its own then, in a volume of its pod and in training.checkpoints.
"""

from __future__ import annotations

from typing import Any

import ray

from deploy.k8s.installation import CONFIG_FILE, CONFIG_FOLDER, Installation
from deploy.k8s.manifest import Manifest, manifest
from deploy.k8s.pods import TRAIN_FOLDER, RayPod, Size
from deploy.ray.cluster_host import PATIENCE
from deploy.ray.local_ray import patient_environment

USER = "trainer"
LONGEST_S = 6 * 3600  # a run that takes longer hangs
KEPT_S = 600  # after its end, for a look at its logs: so long the pod keeps its processors, and its GPU
COMMAND = ("tidecast", "--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}")
NEVER = "0 0 31 2 *"
TRIES = 2  # after the first: each goes on from the checkpoint of the one before, in a new pod, on whatever node


def training_job(here: Installation) -> Manifest:
    """The RayCronJob."""
    job = {
        # The operator submits the job itself. A pod that does so would have to be let through the network policies,
        # and as a sidecar it has no securityContext, which `restricted` refuses
        "submissionMode": "HTTPMode",
        "entrypoint": " ".join([*COMMAND, "train", "--resume", "--live"]),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEPT_S,
        "activeDeadlineSeconds": LONGEST_S,
        "backoffLimit": TRIES,
        "rayClusterSpec": _cluster(here),
    }
    spec = {"schedule": here.config.train_schedule, "timeZone": "Etc/UTC", "jobTemplate": job}
    return manifest("ray.io/v1", "RayCronJob", here.metadata("train", USER), spec=spec)


def rollback_job(here: Installation) -> Manifest:
    """The Job that runs `tidecast rollback`, as a CronJob that never starts by itself: a person starts it by name.

    It is the one command that must work at once and needs Kafka's user of training, which no pod that runs has.
    """
    pod = RayPod(
        component=USER,  # whose ways to Kafka and to the store are open
        container="rollback",
        image=here.config.image,
        size=Size(0.1, "1Gi"),
        account=USER,
        kafka=(USER,),
        store=True,
        environment=_user(here),
    )
    template = pod.template(here)
    template["spec"]["restartPolicy"] = "Never"
    template["spec"]["containers"][0]["command"] = [
        "tidecast",
        "--config",
        f"{CONFIG_FOLDER}/{CONFIG_FILE}",
        "rollback",
    ]
    job = {"spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": KEPT_S, "template": template}}
    spec = {"schedule": NEVER, "suspend": True, "jobTemplate": job}
    return manifest("batch/v1", "CronJob", here.metadata("rollback", USER), spec=spec)


def _user(here: Installation) -> dict[str, str]:
    """The settings' user of Kafka, for commands: these are no component whose name they would put in."""
    kafka = here.settings.kafka.as_component(USER)
    return {
        "TIDECAST_KAFKA__SASL_PLAIN_USERNAME": kafka.sasl_plain_username,
        "TIDECAST_KAFKA__SASL_CREDENTIALS_FILE": kafka.sasl_credentials_file,
    }


def _cluster(here: Installation) -> dict[str, Any]:
    config = here.config
    gpus = int(config.gpu)
    pod = RayPod(
        component=USER,
        container="ray-head",
        image=config.torch_image,
        size=Size(config.train_cpus, config.train_memory, gpus),
        account=USER,
        kafka=(USER,),
        store=True,
        ports={"gcs-server": 6379, "dashboard": 8265, "client": 10001},
        environment={
            **patient_environment(PATIENCE),  # one pod, all of its processors at work: nobody waits to hear it is gone
            **_user(here),
            "TIDECAST_TRAINING__FOLDER": TRAIN_FOLDER,
            "TIDECAST_TRAINING__GPU": str(config.gpu).lower(),
        },
        extra={TRAIN_FOLDER: _folder(here)},
    )
    parameters = {"dashboard-host": "0.0.0.0", "num-cpus": str(config.train_cpus)}
    if gpus:
        parameters["num-gpus"] = "1"
    head = {"rayStartParams": parameters, "template": pod.template(here)}
    return {"rayVersion": ray.__version__, "authOptions": {"mode": "token"}, "headGroupSpec": head}


def _folder(here: Installation) -> dict[str, Any]:
    """The volume of training.folder: it comes and goes with the pod where runs are in a store, else it stays.

    One that stays is in one zone, and keeps the next pod from the nodes of others.
    """
    if here.settings.training.checkpoints:
        return {"ephemeral": {"volumeClaimTemplate": {"spec": here.claim(here.config.train_storage)}}}
    return {"persistentVolumeClaim": {"claimName": here.named("train")}}
