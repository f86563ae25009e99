"""Which call needs which right. The one place that decides it, method by method, when the methods are registered.

Without tokens inference is open, and administration answers this machine and the networks that the settings name. With tokens
a call carries one in its metadata, `authorization: Bearer …`: any for inference, one of the role admin for administration,
wherever it comes from. Health is open to probes either way. A stream is checked once, when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from cellserve.service.api.access.administration import require_administrator
from cellserve.service.api.access.allowances import Meters, TokenUse
from cellserve.service.api.access.tokens import Grant, Role, Tokens
from cellserve.service.api.call_context import Caller
from cellserve.service.errors import AccessDenied, AdministrationDenied, TokenInvalid, TokenMissing
from cellserve.service.networks import Network

Guard = Callable[[Any], None]  # given the context of a call; raises AccessDenied
Use = Callable[[], TokenUse | None]  # what the token of a call may use now; None: everything

OPEN: Final = frozenset(
    (
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
        "/inference.GRPCInferenceService/ModelReady",
    )
)
ADMINISTRATION: Final = frozenset(
    (
        "/cellserve.v1.Registry/List",
        "/cellserve.v1.Registry/Show",
        "/cellserve.v1.Registry/SetAlias",
        "/cellserve.v1.Registry/Publish",
        "/cellserve.v1.Registry/Delete",
        "/cellserve.v1.Registry/Load",
        "/cellserve.v1.Registry/Unload",
        "/cellserve.v1.Registry/Watch",
        "/cellserve.v1.Registry/Verify",
        "/cellserve.v1.Registry/Recorded",
        "/cellserve.v1.Sequences/List",
        "/inference.GRPCInferenceService/RepositoryModelLoad",
        "/inference.GRPCInferenceService/RepositoryModelUnload",
    )
)


class Access(Protocol):
    def guard(self, method: str) -> Guard | None:
        """What looks at each call of `method`, its full name; None: nothing needs to."""
        ...

    def owner(self, caller: Caller) -> str | None:
        """Whose token a call carries; empty: none that is known. None: there are no tokens here."""
        ...

    def use(self, caller: Caller) -> Use:
        """To be asked by each request of a call."""
        ...


def everything() -> None:
    """The use of whoever is not limited."""


class LocalAdministration:
    """Without tokens. networks: whose callers may administer beside this machine's."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    def guard(self, method: str) -> Guard | None:
        return self._require_administrator if method in ADMINISTRATION else None

    def owner(self, caller: Caller) -> str | None:
        return None

    def use(self, caller: Caller) -> Use:
        return everything

    def _require_administrator(self, context: Any) -> None:
        require_administrator(context.peer(), self._networks)


class TokenAccess:
    """tokens: those that count at the moment of a call."""

    def __init__(self, tokens: Callable[[], Tokens], meters: Meters | None = None) -> None:
        self._tokens = tokens
        self._meters = meters or Meters()

    def guard(self, method: str) -> Guard | None:
        if method in OPEN:
            return None
        return self._require_admin if method in ADMINISTRATION else self._require_any

    def owner(self, caller: Caller) -> str | None:
        try:
            return self._grant(caller).owner
        except AccessDenied:
            return ""

    def use(self, caller: Caller) -> Use:
        """Looked up again when the tokens are others. A stream whose token was taken away goes on as it was limited last."""
        known: Tokens | None = None
        last: TokenUse | None = None

        def now() -> TokenUse | None:
            nonlocal known, last
            if (present := self._tokens()) is not known:
                known = present
                if last is not None or present.limited:
                    with suppress(AccessDenied):  # which its guard tells
                        last = self._use_of(caller)
            return last

        now()
        return now

    def _use_of(self, caller: Caller) -> TokenUse | None:
        grant = self._grant(caller)
        return TokenUse(grant.name, grant.owner, grant.allowance, self._meters) if grant.allowance.limited else None

    def _require_any(self, context: Any) -> None:
        self._role(context)

    def _require_admin(self, context: Any) -> None:
        if self._role(context) is not Role.ADMIN:
            raise AdministrationDenied(
                "this call administers the server, and the token is for inference; use one of the role admin"
            )

    def _role(self, context: Any) -> Role:
        return self._grant(context).role

    def _grant(self, caller: Caller) -> Grant:
        return self._tokens().grant_of(bearer(caller.invocation_metadata() or ()))


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The token that a call carries. Raises TokenMissing, TokenInvalid."""
    given = [value for key, value in metadata if key == "authorization"]
    if not given:
        raise TokenMissing("this server wants a token; send it in the metadata of the call, as in authorization: Bearer TOKEN")
    scheme, _, token = str(given[0]).partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise TokenInvalid("the authorization of this call is not one bearer token; send authorization: Bearer TOKEN")
    return token.strip()
