"""Names of live sequences: texts, in which the number 5 and the text "5" are the same. Scoped to a model."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

from cellserve.service.errors import InvalidInput

MAX_CHARACTERS: Final = 256


def new_id() -> str:
    """One that nobody can guess and no other server gives."""
    return uuid.uuid4().hex


def new_integer_id() -> str:
    """As `new_id`, for clients whose ids are positive int64."""
    return str(secrets.randbits(63) | 1)


def check_id(session_id: str) -> str:
    """The id itself. Raises InvalidInput."""
    if not 1 <= len(session_id) <= MAX_CHARACTERS:
        raise InvalidInput(
            f"a sequence id has 1 to {MAX_CHARACTERS} characters, and this one has {len(session_id)}", field="sequence_id"
        )
    return session_id
