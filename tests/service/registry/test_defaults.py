"""What a published version does not say is at its default: so no default may ever change, and each is recorded here.

A default that must be another one is a new option, or a new kind of layer. What is new is recorded by
`python -m tests.service.registry.test_defaults`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cellserve.models.description.layers.activation import Activation
from cellserve.models.spec import KINDS, InputSpec, ModelSpec
from cellserve.service.registry.manifest import Manifest, ParityRecord, SourceRecord

RECORDED = Path(__file__).with_name("defaults.json")


def found() -> dict[str, dict[str, Any]]:
    """By the name of a kind of layer or a part of a manifest, and by the name of an option that has a default."""
    parts: dict[str, type[BaseModel]] = {str(kind.model_fields["kind"].default): kind for kind in KINDS}
    parts |= {part.__name__: part for part in (Activation, InputSpec, ModelSpec, Manifest, ParityRecord, SourceRecord)}
    return {name: defaults(part) for name, part in sorted(parts.items())}


def defaults(part: type[BaseModel]) -> dict[str, Any]:
    """As JSON. The time of a manifest's creation is always said."""
    options = {name: field for name, field in part.model_fields.items() if not field.is_required() and name != "created"}
    values = {name: field.get_default(call_default_factory=True, validated_data={}) for name, field in sorted(options.items())}
    return {
        name: value.model_dump(mode="json", exclude_defaults=True)
        if isinstance(value, BaseModel)
        else json.loads(json.dumps(value))
        for name, value in values.items()
    }


def test_no_default_has_changed_and_new_ones_are_recorded() -> None:
    recorded = json.loads(RECORDED.read_text())
    now = found()
    changed = {
        f"{part}.{option}": (value, now.get(part, {}).get(option))
        for part, options in recorded.items()
        for option, value in options.items()
        if now.get(part, {}).get(option, "gone") != value
    }
    assert not changed, f"what is published already would mean something else: {changed}"
    new = [part for part, options in now.items() if options != recorded.get(part)]
    assert not new, f"record what is new of {', '.join(new)}: python -m tests.service.registry.test_defaults"


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(found(), indent=1) + "\n")
