"""The connection's rows (docs/architecture.md lists the words)."""

from emr.models.auditing import AuditEvent, AuditHead
from emr.models.bulk import BulkItem, BulkJob, BulkMember, BulkSeen
from emr.models.directory import DirectoryEntry
from emr.models.identities import ExternalIdentity, IdentityProvider
from emr.models.launches import FhirUser, Launch, PatientInvitation
from emr.models.letters import Letter
from emr.models.people import BreakGlass, Invitation, Membership, Practice, User
from emr.models.pulls import (
    CallWindow,
    Enrolment,
    LookUp,
    Pull,
    ReferenceRead,
    Sweep,
    SweptPage,
    TypeOutcome,
    WorkItem,
)
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
    "AuditHead",
    "BreakGlass",
    "BulkItem",
    "BulkJob",
    "BulkMember",
    "BulkSeen",
    "CallWindow",
    "ClientRegistration",
    "Connection",
    "DataUse",
    "DirectoryEntry",
    "DoctorReport",
    "Enrolment",
    "Environment",
    "ExternalIdentity",
    "FhirUser",
    "Grant",
    "IdentityProvider",
    "Invitation",
    "JwksHit",
    "Launch",
    "Letter",
    "LookUp",
    "Membership",
    "PatientInvitation",
    "Practice",
    "Pull",
    "Quarantine",
    "ReferenceRead",
    "Resource",
    "Row",
    "SigningKey",
    "Sweep",
    "SweptPage",
    "SystemToken",
    "TypeOutcome",
    "User",
    "WorkItem",
]
