"""docs/wire.md out of the comments of proto/cellserve.proto, by protoc itself: what it says of each rpc, message and field."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

PROTO: Final = Path(__file__).parents[1] / "proto"
_FILE: Final = "cellserve.proto"
# Numbers of fields of FileDescriptorProto and its parts, of which the paths of comments are made.
_MESSAGES, _ENUMS, _SERVICES, _SYNTAX = 4, 5, 6, 12
_METHODS, _FIELDS, _NESTED, _NESTED_ENUMS, _VALUES = 2, 2, 3, 4, 2

_Place = tuple[int, ...]
_Words = Callable[[_Place], str]


def page() -> str:
    (file,) = [each for each in _compiled().file if each.name == _FILE]
    said = {tuple(place.path): place for place in file.source_code_info.location}

    def words(place: _Place) -> str:
        found = said.get(place)
        return "" if found is None else _flowing(found.leading_comments or found.trailing_comments)

    lines = ["# Wire reference", "", f"`{file.package}`, from the comments of `proto/{_FILE}`.", "", words((_SYNTAX,)), ""]
    for number, service in enumerate(file.service):
        lines += [f"## Service {service.name}", "", words((_SERVICES, number)), ""]
        for index, method in enumerate(service.method):
            asked = f"{'stream ' * method.client_streaming}{_last(method.input_type)}"
            answered = f"{'stream ' * method.server_streaming}{_last(method.output_type)}"
            told = words((_SERVICES, number, _METHODS, index))
            lines += [f"### {service.name}.{method.name}", "", f"`{asked}` → `{answered}`", "", told, ""]
    for number, message in enumerate(file.message_type):
        lines += _message(message, (_MESSAGES, number), message.name, words)
    for number, enum in enumerate(file.enum_type):
        lines += _enum(enum, (_ENUMS, number), enum.name, words)
    return "\n".join(_without_gaps(lines)) + "\n"


def _compiled() -> FileDescriptorSet:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        well_known = files("grpc_tools") / "_proto"
        code = protoc.main(
            [
                "protoc",
                f"-I{PROTO}",
                f"-I{well_known}",
                "--include_source_info",
                f"--descriptor_set_out={out}",
                str(PROTO / _FILE),
            ]
        )
        if code:
            raise RuntimeError(f"protoc refuses {PROTO / _FILE}")
        return FileDescriptorSet.FromString(out.read_bytes())


def _message(message: DescriptorProto, place: _Place, name: str, words: _Words) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield from (f"## {name}", "", words(place), "")
    if message.field:
        yield from ("| field | number | type | meaning |", "|---|---|---|---|")
        maps = {each.name: each for each in message.nested_type if each.options.map_entry}
        for index, field in enumerate(message.field):
            told = words((*place, _FIELDS, index)).replace("|", "\\|").replace("\n\n", "<br>").replace("\n", " ")
            yield f"| `{field.name}` | {field.number} | {_type(message, field, maps)} | {told} |"
        yield ""
    for index, nested in enumerate(message.nested_type):
        yield from _message(nested, (*place, _NESTED, index), f"{name}.{nested.name}", words)
    for index, enum in enumerate(message.enum_type):
        yield from _enum(enum, (*place, _NESTED_ENUMS, index), f"{name}.{enum.name}", words)


def _enum(enum: EnumDescriptorProto, place: _Place, name: str, words: _Words) -> Iterator[str]:
    yield from (f"## {name}", "", words(place), "", "| value | number | meaning |", "|---|---|---|")
    for index, value in enumerate(enum.value):
        told = words((*place, _VALUES, index)).replace("|", "\\|").replace("\n", " ")
        yield f"| `{value.name}` | {value.number} | {told} |"
    yield ""


def _type(message: DescriptorProto, field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    if (entry := maps.get(_last(field.type_name))) is not None:
        key, value = (_plain(each) for each in entry.field)
        return f"map of {key} to {value}"
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"{_plain(field)}, one of `{message.oneof_decl[field.oneof_index].name}`"
    kind = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else "optional " if field.proto3_optional else ""
    return kind + _plain(field)


def _plain(field: FieldDescriptorProto) -> str:
    return _last(field.type_name) or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _last(type_name: str) -> str:
    return type_name.removeprefix(".cellserve.v1.").lstrip(".")


def _flowing(comment: str) -> str:
    return "\n".join(line.strip() for line in comment.strip().splitlines()).replace("<", "&lt;")


def _without_gaps(lines: Iterable[str]) -> Iterator[str]:
    """At most one empty line at a time, none at the end."""
    gap = False
    for line in lines:
        if line:
            yield from ("", line) if gap else (line,)
        gap = not line
