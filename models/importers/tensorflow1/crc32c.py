"""CRC-32C (Castagnoli) of long buffers with NumPy alone, and the masked form in which TensorFlow stores it.

A checksum is linear over GF(2) in its register and its data, so equal pieces of a buffer are summed side by side, one lane
each, and joined pair by pair. Source: RFC 3720 appendix B.4; tensorflow/core/lib/hash/crc32c.h. Knows no file formats.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Operator = Words  # [32]: what each bit of a register becomes

POLYNOMIAL: Final = 0x82F63B78  # reflected
ALL_ONES: Final = 0xFFFFFFFF
MASK_DELTA: Final = 0xA282EAD8


def crc32c(data: bytes) -> int:
    lanes = 1 << (len(data).bit_length() // 2)
    length = -(-len(data) // lanes)  # bytes in each lane; zeros before the data leave a register of zero as it is
    padded = np.zeros(lanes * length, dtype=np.uint8)
    padded[len(padded) - len(data) :] = np.frombuffer(data, dtype=np.uint8)
    columns = np.ascontiguousarray(padded.reshape(lanes, length).T)
    registers = np.zeros(lanes, dtype=np.uint32)
    table = _table()
    for column in columns:
        registers = table[(registers ^ column) & 0xFF] ^ (registers >> np.uint32(8))
    operator = _zero_bytes(length)
    while len(registers) > 1:
        registers = _apply(operator, registers[0::2]) ^ registers[1::2]
        operator = _apply(operator, operator)
    start = _apply(_zero_bytes(len(data)), np.array([ALL_ONES], dtype=np.uint32))
    return int(registers[0] ^ start[0]) ^ ALL_ONES


def unmasked(stored: int) -> int:
    """The checksum that TensorFlow stored as `stored`: rotated by 15 bits, plus a constant."""
    rotated = (stored - MASK_DELTA) & ALL_ONES
    return ((rotated >> 17) | (rotated << 15)) & ALL_ONES


@cache
def _table() -> Words:
    """[256]: the register after one byte."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = (values >> np.uint32(1)) ^ np.where(values & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return values


def _zero_bytes(count: int) -> Operator:
    """What `count` bytes of zero do to a register, by repeated squaring."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, power = bits, _table()[bits & 0xFF] ^ (bits >> np.uint32(8))
    while count:
        if count & 1:
            result = _apply(power, result)
        power, count = _apply(power, power), count >> 1
    return result


def _apply(operator: Operator, registers: Words) -> Words:
    bits = (registers[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    result: Words = np.bitwise_xor.reduce(bits * operator, axis=1)
    return result
