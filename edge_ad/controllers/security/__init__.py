"""Who may do what from another machine, and what is kept of it."""

from edge_ad.controllers.security.access import Access, DeniedError, Role, Who
from edge_ad.controllers.security.limits import FailureLimit, RateLimit
from edge_ad.controllers.security.tokens import TokenFile, add_token, read_tokens, remove_token

__all__ = [
    "Access",
    "DeniedError",
    "FailureLimit",
    "RateLimit",
    "Role",
    "TokenFile",
    "Who",
    "add_token",
    "read_tokens",
    "remove_token",
]
