"""The bill of materials: everything that pip says is installed, under the address by which others know it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from deploy.image.sbom import bill

SCRIPT = Path(__file__).parents[2] / "deploy" / "image" / "sbom.py"
INSPECTED = {
    "installed": [
        {"metadata": {"name": "Some.Package_x", "version": "1.2", "license_expression": "MIT"}},
        {"metadata": {"name": "another", "version": "3", "license": "A long text\nof several lines"}},
        {"metadata": {"name": "cellserve", "version": "0.1.0"}},
        {"metadata": {"name": "bare", "version": "0"}},
    ]
}


def test_every_package_is_told_with_its_version_and_licence() -> None:
    written = bill(INSPECTED)
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.5")
    assert written["metadata"]["component"]["version"] == "0.1.0"
    assert [one["purl"] for one in written["components"]] == [
        "pkg:pypi/another@3",
        "pkg:pypi/bare@0",
        "pkg:pypi/some-package-x@1.2",
    ]
    assert written["components"][0]["licenses"] == [{"license": {"name": "A long text"}}]
    assert "licenses" not in written["components"][1]
    assert written["dependencies"] == [{"ref": "cellserve", "dependsOn": [one["bom-ref"] for one in written["components"]]}]


def test_it_reads_what_pip_prints_and_writes_json() -> None:
    done = subprocess.run((sys.executable, str(SCRIPT)), input=json.dumps(INSPECTED), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == bill(INSPECTED)
