"""A Keras architecture beside a file of weights (`--architecture`): JSON or YAML of any age. Nothing in it is ever executed.

YAML of Python 2 tags its strings and tuples; these are read as what they are, every other tag is refused. Knows no layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_JSON_BYTES


def read_architecture(path: Path) -> Mapping[str, Any]:
    """What model.to_json() or model.to_yaml() wrote. Raises ImportRefused."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ImportRefused(str(path), "the architecture is far too large to be one")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ImportRefused(str(path), f"the architecture cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ImportRefused(str(path), f"the architecture is neither JSON nor YAML: {error}") from error
    model = _parsed(text, str(path))
    if not isinstance(model, Mapping) or not ("class_name" in model or "layers" in model):
        raise ImportRefused(
            str(path), "the architecture is not what model.to_json() or to_yaml() writes: it has neither a class_name nor layers"
        )
    return model


def _parsed(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as not_json:
        try:
            return yaml.load(text, Loader=_PlainLoader)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            what = f"the architecture is not JSON ({not_json}), and not YAML of plain values either ({first})"
            raise ImportRefused(source, what) from error


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader, and Python 2's strings and tuples."""


def _sequence(loader: yaml.SafeLoader, node: yaml.Node) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.constructor.ConstructorError(None, None, "a tuple that is no sequence", node.start_mark)
    return loader.construct_sequence(node, deep=True)


def _string(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(None, None, "a string that is no scalar", node.start_mark)
    return str(loader.construct_scalar(node))


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _sequence)
_PlainLoader.add_constructor("tag:yaml.org,2002:python/unicode", _string)
_PlainLoader.add_constructor("tag:yaml.org,2002:python/str", _string)
