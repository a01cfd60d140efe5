"""The connection's rows (docs/architecture.md lists the words)."""

from emr.models.auditing import AuditEvent
from emr.models.directory import DirectoryEntry
from emr.models.letters import Letter
from emr.models.people import Invitation, Membership, Practice, User
from emr.models.pulls import CallWindow, Enrolment, LookUp, Pull, TypeOutcome, WorkItem
from emr.models.registrations import (
    Algorithm,
    ClientRegistration,
    Connection,
    DataUse,
    Environment,
    JwksHit,
    SigningKey,
)
from emr.models.reports import DoctorReport
from emr.models.resources import Quarantine, Resource
from emr.models.row import Row
from emr.models.tokens import Grant, SystemToken

__all__ = [
    "Algorithm",
    "AuditEvent",
    "CallWindow",
    "ClientRegistration",
    "Connection",
    "DataUse",
    "DirectoryEntry",
    "DoctorReport",
    "Enrolment",
    "Environment",
    "Grant",
    "Invitation",
    "JwksHit",
    "Letter",
    "LookUp",
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
