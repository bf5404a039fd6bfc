"""Who uses a session, and what they may do."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncua.crypto.permission_rules import User, UserRole

from edge_ad.controllers.opcua.opcua_settings import OpcUaSettings
from edge_ad.controllers.security import TOKEN_PREFIX, Access, DeniedError, Role, TokenFile, Who

__all__ = ["CALLER", "PEER", "Users", "Visitor"]

logger = logging.getLogger(__name__)


class Visitor(User):  # type: ignore[misc]
    """``who``: without a role, somebody may only read. To asyncua all of them are the same: nobody changes a node."""

    def __init__(self, who: Who) -> None:
        super().__init__(role=UserRole.User, name=who.name)
        self.who = who

    def may(self, needed: Role) -> bool:
        """Whether this one has at least the role ``needed``."""
        return self.who.role is not None and self.who.role.may(needed)


CALLER: contextvars.ContextVar[Visitor] = contextvars.ContextVar("caller")
"""While a method runs: who has called it."""
PEER: contextvars.ContextVar[str] = contextvars.ContextVar("peer", default="unknown")
"""While a message is dealt with: the address that it came from."""


class Users:
    """asyncua's user manager. A user's password is the token; with a file of tokens, nobody without one may do more
    than read."""

    def __init__(self, settings: OpcUaSettings, failed: Callable[[str, str], None]) -> None:
        """``failed``: is told of a failed log-in, from where and how, without waiting."""
        self._failed = failed
        self._asks = settings.tokens is not None
        tokens = None if settings.tokens is None else TokenFile(Path(settings.tokens))
        self._access = Access(tokens, Role(settings.local_role))

    def get_user(
        self, _: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Visitor | None:
        """``None`` where somebody is not let in."""
        del certificate  # of the channel, which was checked when it was opened
        source = PEER.get()
        name = "***" if (username or "").startswith(TOKEN_PREFIX) else (username or "")[:64]  # a token in its place
        if self._asks and not username and not password:
            return Visitor(Who("anonymous", None, source))
        try:
            who = self._access.identify(password, source)
        except DeniedError as error:
            logger.warning("the log-in of %r from %s failed: %s", name, source, error)
            self._failed(source, f"a wrong token for {name!r}")
            return None
        if self._asks and who.name != username:
            logger.warning("the log-in of %r from %s failed: the token is another one's", name, source)
            self._failed(source, f"another one's token for {name!r}")
            return None
        return Visitor(who)
