"""Who may do what from another machine, and what is kept of it."""

from edge_ad.controllers.security.access import Access, DeniedError, Role, Who
from edge_ad.controllers.security.audit import AuditRecord, AuditTrail, Result
from edge_ad.controllers.security.audit_check import TrailReport, check_trail, read_trail, syslog_line
from edge_ad.controllers.security.exposure import check_authorities, check_certificate, check_exposure
from edge_ad.controllers.security.limits import FailureLimit, RateLimit
from edge_ad.controllers.security.tokens import (
    TOKEN_PREFIX,
    TokenFile,
    add_certificate,
    add_token,
    read_tokens,
    remove_token,
)

__all__ = [
    "TOKEN_PREFIX",
    "Access",
    "AuditRecord",
    "AuditTrail",
    "DeniedError",
    "FailureLimit",
    "RateLimit",
    "Result",
    "Role",
    "TokenFile",
    "TrailReport",
    "Who",
    "add_certificate",
    "add_token",
    "check_authorities",
    "check_certificate",
    "check_exposure",
    "check_trail",
    "read_tokens",
    "read_trail",
    "remove_token",
    "syslog_line",
]
