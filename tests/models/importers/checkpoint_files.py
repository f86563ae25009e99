"""Writes TensorFlow checkpoints byte by byte, so that tests can make each kind of good and bad one they need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cellserve.models.importers.tensorflow1.checkpoint import OBJECT_GRAPH
from cellserve.models.importers.tensorflow1.crc32c import crc32c

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
KINDS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return ((rotated + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def block(entries: Mapping[bytes, bytes], compression: int = 0) -> bytes:
    """With its trailer. Every key shares what it can with the one before it, as TensorFlow writes them."""
    body, previous = b"", b""
    for key, value in entries.items():
        shared = 0
        while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
            shared += 1
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    body += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes([compression])
    return body + masked(body)


def table(entries: Mapping[bytes, bytes], per_block: int = 3, compression: int = 0) -> bytes:
    """The whole file: blocks of `per_block` entries, an empty meta index, the index, the footer."""
    data, index, items = b"", {}, list(entries.items())
    for start in range(0, len(items), per_block):
        content = block(dict(items[start : start + per_block]), compression)
        index[items[min(start + per_block, len(items)) - 1][0]] = varint(len(data)) + varint(len(content) - 5)
        data += content
    handles = b""
    for content in (block({}), block(index)):
        handles += varint(len(data)) + varint(len(content) - 5)
        data += content
    return data + handles.ljust(40, b"\0") + MAGIC


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def text(value: bytes) -> bytes:
    """A tensor of one string, as a bundle has it: its length, what checks that, and itself."""
    return varint(len(value)) + masked(len(value).to_bytes(4, "little")) + value


def text_entry(value: bytes, offset: int) -> bytes:
    length = len(value).to_bytes(4, "little")
    checksum = masked(length + masked(length) + value)
    return field(1, 7) + field(2, b"") + field(4, offset) + field(5, len(text(value))) + varint(6 << 3 | 5) + checksum


def object_graph(keys: Mapping[str, object]) -> bytes:
    """A TrackableObjectGraph in which the names in each key lead to its value, under that key or the one that is given."""
    nodes: list[tuple[dict[str, int], str]] = [({}, "")]
    for path, given in keys.items():
        place, key = 0, given if isinstance(given, str) else path
        for name in path.partition("/.ATTRIBUTES")[0].split("/"):
            if name not in nodes[place][0]:
                nodes[place][0][name] = len(nodes)
                nodes.append(({}, ""))
            place = nodes[place][0][name]
        nodes[place] = (nodes[place][0], key)
    return b"".join(
        field(
            1,
            b"".join(field(1, field(1, child) + field(2, name.encode())) for name, child in children.items())
            + (field(2, field(3, key.encode())) if key else b""),
        )
        for children, key in nodes
    )


def entry(array: np.ndarray, shard: int, offset: int) -> bytes:
    """A BundleEntryProto."""
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    place = field(3, shard) + field(4, offset) + field(5, array.nbytes)
    return field(1, KINDS[array.dtype.name]) + field(2, shape) + place + varint(6 << 3 | 5) + masked(array.tobytes())


def write_objects(prefix: Path, variables: Mapping[str, np.ndarray]) -> Path:
    """A checkpoint of TensorFlow 2: with its graph of objects."""
    return write_checkpoint(prefix, variables, graph=object_graph(variables))


def write_checkpoint(
    prefix: Path, variables: Mapping[str, np.ndarray], *, shards: int = 1, compression: int = 0, graph: bytes | None = None
) -> Path:
    """Every variable goes to the next shard in turn; `graph`, which is a string, to the first."""
    entries, data = {b"": field(1, shards) + field(3, field(1, 1))}, [b""] * shards
    for place, name in enumerate(sorted(variables)):
        shard, array = place % shards, np.asarray(variables[name], order="C")
        entries[name.encode()] = entry(array, shard, len(data[shard]))
        data[shard] += array.tobytes()
    if graph is not None:
        entries = dict(sorted({**entries, OBJECT_GRAPH.encode(): text_entry(graph, len(data[0]))}.items()))
        data[0] += text(graph)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries, compression=compression))
    for shard, content in enumerate(data):
        prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}").write_bytes(content)
    return prefix


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(scale=0.5, size=shape).astype(np.float32)


def lstm_cell(scope: str, inputs: int, units: int, *, old_names: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    kernel, bias = ("weights", "biases") if old_names else ("kernel", "bias")
    return {f"{scope}/{kernel}": random(inputs + units, 4 * units, seed=seed), f"{scope}/{bias}": random(4 * units, seed=seed)}
