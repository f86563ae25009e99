"""YAML texts into settings, with the line and the field of whatever is wrong. Knows no files and no particular settings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

_MOST_TOLD: Final = 5  # of the mistakes in one text

Settings = TypeVar("Settings", bound=BaseModel)


class WrongText(Exception):
    """str(error): what is wrong and where, without the name of the file."""


def validated(text: bytes, settings: type[Settings]) -> Settings:
    """What `text` says; an empty one says nothing, so all is at its default. Raises WrongText."""
    import yaml  # not among the client's packages

    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        values = None if root is None else loader.construct_document(root)
        if (twice := _twice(root)) is not None:
            raise WrongText(twice)
        return settings.model_validate({} if values is None else values)
    except ValidationError as error:
        raise WrongText(_told(error, root, settings)) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise WrongText(f"not YAML: {' '.join(str(error).split())}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _told(error: ValidationError, root: Any, settings: type[BaseModel]) -> str:
    """Every mistake, each with its line and field; then what may be said, where a name is unknown."""
    errors = error.errors(include_url=False, include_context=False)
    told = []
    for mistake in errors[:_MOST_TOLD]:
        field = ".".join(map(str, mistake["loc"])) or "the whole file"
        told.append(f"line {_line(root, mistake['loc'])}: {field}: {mistake['msg'].removeprefix('Value error, ')}")
    if len(errors) > _MOST_TOLD:
        told.append(f"{len(errors) - _MOST_TOLD} more")
    if any(mistake["type"] == "extra_forbidden" for mistake in errors):
        told.append(f"the settings are: {', '.join(settings.model_fields)}")
    return "; ".join(told)


def _line(root: Any, path: Sequence[Hashable]) -> int:
    """Of the setting that `path` leads to, as near as the text has it."""
    node, line = root, 1 if root is None else root.start_mark.line + 1
    for part in path:
        found = _child(node, part)
        if found is None:
            break
        marked, node = found
        line = marked.start_mark.line + 1
    return line


def _child(node: Any, part: Hashable) -> tuple[Any, Any] | None:
    """What stands for it in the text (the key of a mapping), and what it holds."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _twice(root: Any) -> str | None:
    """A name that stands twice in one place: YAML would silently take the last."""
    import yaml

    seen: set[int] = set()
    left = [root]
    while left:
        node = left.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and lines.setdefault(key.value, line) != line:
                return f"line {line}: {key.value}: said already in line {lines[key.value]}"
            left.append(value)
    return None
