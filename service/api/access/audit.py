"""Who administered the server, or tried to: a line of the log for each call, with what it was about, never what it carried.

Of those that are denied one a second for each method is told. Knows no messages.
"""

from __future__ import annotations

import logging
from typing import Final

from cellserve.service.logs import AUDIT

_log = logging.getLogger(AUDIT)

_DENIED: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")


def audit(method: str, peer: str, owner: str | None, subject: str, code: str) -> None:
    """owner: whose token it was, as Access says. subject: such as digits@stable, or empty. code: the name of a gRPC status."""
    subject = subject if subject.isprintable() else ascii(subject)
    by = f"{owner or 'nobody who is known'} ({peer})" if owner is not None else peer
    facts = {"method": method, "by": by, "subject": subject, "outcome": code}
    denied = {"once": f"denied {method}"} if code in _DENIED else {}
    _log.info("%s%s by %s: %s", method, f" of {subject}" if subject else "", by, code, extra=facts | denied)
