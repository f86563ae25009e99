"""Damages files at random, as disks, transfers and people with bad intentions do."""

from __future__ import annotations

import random


def damaged(content: bytes, numbers: random.Random) -> bytes:
    """One to eight injuries: bytes or whole words overwritten, pieces zeroed, moved or missing, the end cut off."""
    spoilt = bytearray(content)
    for _ in range(numbers.randint(1, 8)):
        place = numbers.randrange(max(1, len(spoilt)))
        length = min(numbers.choice((1, 4, 8, 64, 512)), len(spoilt) - place)
        match numbers.randrange(6):
            case 0:
                spoilt[place : place + 1] = bytes([numbers.randrange(256)])
            case 1:
                spoilt[place : place + length] = numbers.randbytes(length)
            case 2:
                spoilt[place : place + length] = b"\xff" * length
            case 3:
                spoilt[place : place + length] = bytes(length)
            case 4:
                other = numbers.randrange(max(1, len(spoilt) - length))
                spoilt[place : place + length] = spoilt[other : other + length]
            case _ if numbers.random() < 0.2:
                del spoilt[place:]
            case _:
                del spoilt[place : place + length]
    return bytes(spoilt)
