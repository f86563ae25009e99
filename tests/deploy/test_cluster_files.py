"""The files that deploy a cluster: what they say of each other, of settings and of Envoy is so. tests/e2e has them run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cellserve.service.cli.main import app
from cellserve.service.cluster.store import RIGHTS
from cellserve.service.config import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.cluster.yaml").read_text())
ALONE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = [
    each for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())
]
SETTINGS = {f"CELLSERVE_{name.upper()}" for name in Settings.model_fields}


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """By name."""
    return {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == kind}


def pods() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Of every workload: its name, its pods' specification, the one container."""
    for kind in ("Deployment", "StatefulSet"):
        for name, each in of_kind(kind).items():
            pod = each["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            yield name, pod, container


@pytest.mark.parametrize(
    ("file", "servers"), [("compose", ("replica-1:8001", "replica-2:8001")), ("kubernetes", ("cellserve-servers:8001",))]
)
def test_envoys_configuration_is_what_the_command_prints(
    file: str, servers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    words = [word for server in servers for word in ("--server", server)]
    printed = CliRunner().invoke(app, ["cluster", "envoy", *words]).stdout
    written = (DEPLOY / "envoy" / f"{file}.json").read_text()
    again = f"cellserve cluster envoy {' '.join(words)} >deploy/envoy/{file}.json"
    assert json.loads(written) == json.loads(printed), f"write it anew: {again}"
    named_in = "compose.cluster.yaml" if file == "compose" else "kubernetes/kustomization.yaml"
    assert again in (DEPLOY / named_in).read_text()


def test_the_stores_user_may_do_what_servers_do_and_no_more() -> None:
    (rights,) = re.findall(
        r"^user cellserve on >\$password ~\{cellserve\}:\* (.+)$", (DEPLOY / "valkey/start.sh").read_text(), re.M
    )
    assert rights.split() == RIGHTS.split()


def test_each_server_in_a_container_is_the_one_that_stands_alone() -> None:
    alone = ALONE["services"]["server"]
    for name in ("replica-1", "replica-2"):
        server = COMPOSE["services"][name]
        for key in alone.keys() - {"ports", "entrypoint", "environment"}:
            assert server[key] == alone[key], key
        assert server["environment"]["CELLSERVE_REPLICA_NAME"] == name
        assert server["environment"].keys() - SETTINGS == {"CELLSERVE_DEMO"}
    assert [name for name, each in COMPOSE["services"].items() if "ports" in each] == ["envoy", "prometheus"]


def test_containers_of_others_are_bounded_and_of_one_release() -> None:
    for service in COMPOSE["services"].values():
        if "extends" in service:
            assert service["extends"]["service"] in ALONE["services"]
            continue
        assert service["mem_limit"]
        assert service["cpus"]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"])
        assert re.search(r":v?\d+\.\d+\.\d+$|^cellserve:latest$", image), image
        for mount in service["volumes"]:
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", mount).partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], mount
    scraped = yaml.safe_load((DEPLOY / "prometheus/cluster.yml").read_text())["scrape_configs"]
    targets = [target.partition(":")[0] for job in scraped for each in job["static_configs"] for target in each["targets"]]
    assert targets == ["replica-1", "replica-2", "envoy"]


def test_both_ways_run_the_same_envoy_and_valkey() -> None:
    images = {re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE["services"][name]["image"]) for name in ("envoy", "valkey")}
    assert {container["image"] for _, _, container in pods()} == {*images, "cellserve"}


def test_pods_ask_for_settings_ports_and_files_that_there_are() -> None:
    configurations = {"cellserve-envoy", "cellserve-store"}
    for folder in ("envoy", "valkey"):
        made = yaml.safe_load((DEPLOY / folder / "kustomization.yaml").read_text())["configMapGenerator"]
        assert {each["name"] for each in made} <= configurations
        for each in made:
            assert all((DEPLOY / folder / file.rpartition("=")[2]).exists() for file in each["files"])
    for _, pod, container in pods():
        ports = {each["name"] for each in container["ports"]} | {each["containerPort"] for each in container["ports"]}
        for probe in (container[name] for name in container if name.endswith("Probe")):
            for how in ("httpGet", "tcpSocket", "grpc"):
                assert how not in probe or probe[how]["port"] in ports
        own = [each["name"] for each in container.get("env", []) if each["name"].startswith("CELLSERVE_")]
        assert set(own) <= SETTINGS
        volumes = {each["name"]: each for each in pod["volumes"]}
        claims = {"data"}  # of the store
        assert {each["name"] for each in container["volumeMounts"]} <= {*volumes, *claims}
        for volume in volumes.values():
            assert volume.get("configMap", {"name": "cellserve-envoy"})["name"] in configurations
            assert volume.get("persistentVolumeClaim", {"claimName": "cellserve-models"})["claimName"] in of_kind(
                "PersistentVolumeClaim"
            )


def test_services_budgets_and_policies_are_of_pods_that_there_are() -> None:
    labelled = {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        for kind in ("Deployment", "StatefulSet")
        for each in of_kind(kind).values()
    }
    for kind, place in (("Service", ("selector",)), ("PodDisruptionBudget", ("selector", "matchLabels"))):
        for each in of_kind(kind).values():
            found = each["spec"]
            for key in place:
                found = found[key]
            assert found["app.kubernetes.io/component"] in labelled
    assert {
        each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for each in of_kind("NetworkPolicy").values()
    } == (labelled)
    assert of_kind("Service")["cellserve-servers"]["spec"]["clusterIP"] == "None"


def test_a_pod_is_given_the_time_that_its_end_takes() -> None:
    servers = of_kind("Deployment")["cellserve-servers"]["spec"]
    pod = servers["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = Settings.model_fields["drain_seconds"].default + Settings.model_fields["lame_duck_seconds"].default
    assert pod["terminationGracePeriodSeconds"] > pause + drain
    assert "replicas" not in servers  # the autoscaler's affair
    scaler = of_kind("HorizontalPodAutoscaler")["cellserve-servers"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "cellserve-servers"
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == "cellserve_waiting_timesteps"


def test_nothing_runs_as_root_or_writes_beside_its_volumes() -> None:
    for _, pod, container in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_the_clusters_prometheus_is_that_of_one_server_but_for_what_it_scrapes() -> None:
    """Not by `extends`: where one list extends another, podman-compose runs both commands in one."""
    one, cluster = (
        yaml.safe_load((DEPLOY / name).read_text())["services"]["prometheus"] for name in ("compose.yaml", "compose.cluster.yaml")
    )
    one["command"] = [word.replace("prometheus.yml", "cluster.yml") for word in one["command"]]
    assert cluster == one


def test_nobody_extends_a_service_and_gives_it_another_command() -> None:
    for path in DEPLOY.glob("compose*.yaml"):
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            assert not {"extends", "command"} <= service.keys(), (path.name, name)
