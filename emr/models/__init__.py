"""The connection's rows (docs/architecture.md lists the words)."""

from emr.models.auditing import AuditEvent
from emr.models.people import Invitation, Membership, Practice, User
from emr.models.pulls import CallWindow, Enrolment, Pull, TypeOutcome, WorkItem
from emr.models.registrations import Algorithm, ClientRegistration, Connection, Environment, SigningKey
from emr.models.resources import Quarantine, Resource
from emr.models.row import Row
from emr.models.tokens import Grant, SystemToken

__all__ = [
    "Algorithm",
    "AuditEvent",
    "CallWindow",
    "ClientRegistration",
    "Connection",
    "Enrolment",
    "Environment",
    "Grant",
    "Invitation",
    "Membership",
    "Practice",
    "Pull",
    "Quarantine",
    "Resource",
    "Row",
    "SigningKey",
    "SystemToken",
    "TypeOutcome",
    "User",
    "WorkItem",
]
