"""Lets somebody in by a token, or does not."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.controllers.security.limits import FailureLimit
from edge_ad.controllers.security.tokens import Role, TokenFile
from edge_ad.errors import EdgeAdError, InputError

__all__ = ["Access", "DeniedError", "Role", "Who"]

_NOBODY = "without a token"


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who asks. ``source``: the address of the machine."""

    name: str
    role: Role
    source: str


class DeniedError(EdgeAdError):
    """Somebody is not let in. ``retry_s``: from when on it may be tried again, where that is the reason."""

    def __init__(self, message: str, *, is_known: bool = False, retry_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_known = is_known
        self.retry_s = retry_s


class Access:
    """``tokens``: ``None`` where none are asked for; then everybody has ``local_role``."""

    def __init__(self, tokens: TokenFile | None, local_role: Role, failures: FailureLimit | None = None) -> None:
        self._tokens = tokens
        self._local_role = local_role
        self._failures = failures or FailureLimit()

    def identify(self, token: str | None, source: str) -> Who:
        """Who has this token.

        Raises:
            DeniedError: there is no or a wrong token, or there were too many wrong ones.
        """
        if self._tokens is None:
            return Who("local", self._local_role, source)
        if (wait_s := self._failures.wait_s(source)) > 0:
            raise DeniedError("too many failed log-ins from this address", retry_s=wait_s)
        if token is None:
            raise DeniedError("a token is needed: send the header  Authorization: Bearer TOKEN")
        try:
            found = self._tokens.find(token)
        except InputError as error:
            raise DeniedError(f"nobody can be let in: {error}") from error
        if found is None:
            self._failures.failed(source)
            raise DeniedError("this token is not known here")
        return Who(found[0], found[1], source)

    @staticmethod
    def check(who: Who, needed: Role) -> None:
        """Raises :class:`DeniedError` unless ``who`` has at least the role ``needed``."""
        if not who.role.may(needed):
            raise DeniedError(f"this needs the role {needed.value}, and {who.name} is {who.role.value}", is_known=True)
