"""Lets somebody in by a token or a client certificate, or does not."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from edge_ad.controllers.security.limits import FailureLimit
from edge_ad.controllers.security.tokens import Role, TokenFile
from edge_ad.errors import EdgeAdError, InputError

__all__ = ["Access", "DeniedError", "Role", "Who"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who asks. ``source``: the address of the machine; both it and the role where they are known."""

    name: str
    role: Role | None = None
    source: str | None = None

    def __str__(self) -> str:
        return self.name if self.source is None else f"{self.name}@{self.source}"


class DeniedError(EdgeAdError):
    """Somebody is not let in, or may not do this. ``is_known``: who asks is known.

    ``failed``: what was wrong, a token or a certificate, where that is to be recorded. ``retry_s``: when it may be
    tried again, where that is the reason.
    """

    def __init__(
        self, message: str, *, is_known: bool = False, failed: str | None = None, retry_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.is_known = is_known
        self.failed = failed
        self.retry_s = retry_s


class Access:
    """``tokens``: ``None`` where none are asked for; then everybody has ``local_role``.

    ``kiosk``: whoever has no token may look all the same.
    """

    def __init__(
        self,
        tokens: TokenFile | None,
        local_role: Role,
        failures: FailureLimit | None = None,
        *,
        kiosk: bool = False,
    ) -> None:
        self._kiosk = kiosk
        self._tokens = tokens
        self._local_role = local_role
        self._failures = failures or FailureLimit()

    def identify(self, token: str | None, source: str, subject: str | None = None) -> Who:
        """Who has this token or, without one, whose client certificate has this subject.

        Raises:
            DeniedError: there is no or a wrong token, or there were too many wrong ones; or nobody has this subject.
        """
        if self._tokens is None:
            return Who("local", self._local_role, source)
        if (wait_s := self._failures.wait_s(source)) > 0:
            raise DeniedError("too many failed log-ins from this address", retry_s=wait_s)
        try:
            if token is not None:
                return self._by_token(self._tokens, token, source)
            if subject is not None:
                return self._by_subject(self._tokens, subject, source)
        except InputError as error:
            logger.error("nobody can be let in: %s", error)
            raise DeniedError("nobody can be let in now: the log of this controller says why") from error
        if self._kiosk:
            return Who("kiosk", Role.VIEWER, source)
        raise DeniedError("a token is needed: send the header  Authorization: Bearer TOKEN")

    def _by_token(self, tokens: TokenFile, token: str, source: str) -> Who:
        found = tokens.find(token)
        if found is None:
            self._failures.failed(source)
            raise DeniedError("this token is not known here", failed="a wrong token")
        return Who(found[0], found[1], source)

    @staticmethod
    def _by_subject(tokens: TokenFile, subject: str, source: str) -> Who:
        role = tokens.role_of(subject)
        if role is None:
            failed = f"a certificate without a role, {subject},"
            raise DeniedError(f"the certificate's subject {subject} has no role here", failed=failed)
        return Who(subject, role, source)

    @staticmethod
    def check(who: Who, needed: Role) -> None:
        """Raises :class:`DeniedError` unless ``who`` has at least the role ``needed``."""
        if who.role is None or not who.role.may(needed):
            found = "nothing" if who.role is None else who.role.value
            raise DeniedError(f"this needs the role {needed.value}, and {who.name} is {found}", is_known=True)
