"""deploy/kubernetes as kubectl makes it one, held to the published schemas of Kubernetes. No cluster is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.compose import run
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

VERSIONS = ("1.32", "1.37")


def test_what_kubectl_makes_of_the_folder_is_of_the_published_schemas(tmp_path: Path) -> None:
    programs = interpreter("kubernetes").parent
    made = tmp_path / "made.yaml"
    made.write_text(run(str(programs / "kubectl"), "kustomize", "deploy/kubernetes"))
    for version in VERSIONS:
        told = run(str(programs / "kubernetes-validate"), "--strict", "--kubernetes-version", version, str(made))
        assert told.count("passed for resource") == 15, told
