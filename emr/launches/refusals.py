"""Why a launch stops. Every refusal has its own code of the catalogue, is noted on the launch, and is audited."""

import logging

from django.utils import timezone

from emr import audit, visits
from emr.models import Launch, User

log = logging.getLogger(__name__)


# An answer sent again, or by somebody else, says nothing of what becomes of the launch.
SAYS_NOTHING = {"LAUNCH_USED", "LAUNCH_OTHER_BROWSER"}


class LaunchRefused(Exception):
    """The launch went no further. code: of the catalogue. launch: None where the answer belongs to none."""

    def __init__(self, code: str, launch: Launch | None = None, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.launch = launch
        self.detail = detail


def refusal(
    code: str, launch: Launch | None = None, *, detail: str = "", by: User | None = None, visitor: str = ""
) -> LaunchRefused:
    """Note and audit a refusal; the caller raises it. `detail`: text safe to keep.

    visitor: the address it came from, where it belongs to no launch and so anybody can cause it again and again.
    """
    log.info("launch refused: %s", code)
    if launch is None and visitor and not visits.to_be_written(visitor):
        return LaunchRefused(code, None, detail)
    if launch is not None and code not in SAYS_NOTHING:
        # What became of it first stays.
        Launch.objects.filter(pk=launch.pk, outcome_code="").update(outcome_code=code)
    audit.record(
        audit.Action.LAUNCH_REFUSED,
        by=by or (launch.user if launch else None),
        practice=launch.practice if launch else None,
        object_id=launch.pk if launch else None,
        detail=f"{code} {detail}".strip(),
    )
    return LaunchRefused(code, launch, detail)


def forget_old() -> int:
    """Delete launches of long ago: nobody comes back to them, and the audit trail says what became of them."""
    return Launch.objects.filter(expires_at__lt=timezone.now() - Launch.KEPT).delete()[0]
