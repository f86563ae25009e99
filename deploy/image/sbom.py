"""A bill of materials of an environment, CycloneDX 1.5 in JSON, from what pip says is installed there:

    pip --python /opt/cellserve/bin/python inspect --local | python sbom.py > sbom.cdx.json

Knows the two formats; installs nothing and asks nobody.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any


def bill(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """inspected: what `pip inspect` prints, cellserve among it."""
    metadata = sorted((package["metadata"] for package in inspected["installed"]), key=lambda one: _normalized(one["name"]))
    (version,) = (one["version"] for one in metadata if _normalized(one["name"]) == "cellserve")
    components = [_component(one) for one in metadata if _normalized(one["name"]) != "cellserve"]
    whole = {"type": "application", "bom-ref": "cellserve", "name": "cellserve", "version": version}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": whole},
        "components": components,
        "dependencies": [{"ref": "cellserve", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _component(metadata: Mapping[str, Any]) -> dict[str, Any]:
    url = f"pkg:pypi/{_normalized(metadata['name'])}@{metadata['version']}"
    component = {"type": "library", "bom-ref": url, "name": metadata["name"], "version": metadata["version"], "purl": url}
    told = metadata.get("license_expression") or metadata.get("license", "").strip().partition("\n")[0]
    return component | ({"licenses": [{"license": {"name": told}}]} if told else {})


def _normalized(name: str) -> str:
    """As PyPI writes a name in its addresses."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    json.dump(bill(json.load(sys.stdin)), sys.stdout, indent=1)
