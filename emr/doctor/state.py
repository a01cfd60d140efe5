"""What a check does to the connection: active when it is well, degraded with the reason when it is not."""

from django.utils import timezone

from emr.doctor import examination
from emr.doctor.case import Case
from emr.models import Connection

# Codes about the connection rather than about one patient or page: it stops until it was checked.
STOPPING = ("TOK_", "CFG_", "DISC_", "KEY_", "SECRET_", "AUTHZ_", "NET_DNS", "NET_CONNECT", "NET_ADDRESS", "TLS_")


def activate(connection: Connection) -> None:
    """All is well."""
    now = timezone.now()
    Connection.objects.filter(pk=connection.pk).exclude(state=Connection.State.REVOKED).update(
        state=Connection.State.ACTIVE, active_at=now, reason_code="", reason_detail="", reason_at=None, request_id=""
    )


def degrade(connection: Connection, code: str, detail: str, request_id: str = "") -> None:
    """Say on the connection what happened. It pulls nothing until a check finds it well."""
    Connection.objects.filter(pk=connection.pk).exclude(state=Connection.State.REVOKED).update(
        state=Connection.State.DEGRADED,
        reason_code=code,
        reason_detail=detail[:500],
        reason_at=timezone.now(),
        request_id=request_id[:128],
    )


def stops_connection(code: str) -> bool:
    """True for what is wrong with the connection rather than with one patient or page."""
    return code.startswith(STOPPING)


def conclude(case: Case) -> None:
    """A full self-test's effect; a test that could not come to an end (no call left) has none."""
    finding = examination.stopping(case)
    if finding is None:
        if examination.is_connected(case):
            activate(case.connection)
    elif finding.code != "FHIR_429":
        told = dict(finding.evidence)
        detail = " ".join(part for part in (finding.summary, told.get("host", ""), told.get("detail", "")) if part)
        degrade(case.connection, finding.code, f"{finding.code}: {detail}", finding.request_id)
