"""Who uses a session, and what they may do."""

from __future__ import annotations

import contextvars
import logging
from pathlib import Path
from typing import Any

from asyncua.crypto.permission_rules import User, UserRole

from edge_ad.controllers.opcua.settings import OpcUaSettings
from edge_ad.controllers.security import Access, DeniedError, Role, TokenFile

__all__ = ["CALLER", "PEER", "Users", "Visitor"]

logger = logging.getLogger(__name__)


class Visitor(User):  # type: ignore[misc]
    """``role``: ``None`` may only read. To asyncua all of them are the same: nobody changes a node."""

    def __init__(self, name: str, rank: Role | None) -> None:
        super().__init__(role=UserRole.User, name=name)
        self.rank = rank

    def may(self, needed: Role) -> bool:
        """Whether this one has at least the role ``needed``."""
        return self.rank is not None and self.rank.may(needed)


CALLER: contextvars.ContextVar[Visitor] = contextvars.ContextVar("caller")
"""While a method runs: who has called it."""
PEER: contextvars.ContextVar[str] = contextvars.ContextVar("peer", default="unknown")
"""While a message is dealt with: the address that it came from."""


class Users:
    """asyncua's user manager. A user's password is the token; with a file of tokens, nobody without one may do more
    than read."""

    def __init__(self, settings: OpcUaSettings) -> None:
        self._asks = settings.tokens is not None
        tokens = None if settings.tokens is None else TokenFile(Path(settings.tokens))
        self._access = Access(tokens, Role(settings.local_role))

    def get_user(
        self, _: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Visitor | None:
        """``None`` where somebody is not let in."""
        del certificate  # of the channel, which was checked when it was opened
        source = PEER.get()
        if self._asks and not username and not password:
            return Visitor("anonymous", None)
        try:
            who = self._access.identify(password, source)
        except DeniedError as error:
            logger.warning("the log-in of %r from %s failed: %s", (username or "")[:64], source, error)
            return None
        if self._asks and who.name != username:
            logger.warning("the log-in of %r from %s failed: the token is another one's", (username or "")[:64], source)
            return None
        return Visitor(who.name, who.role)
