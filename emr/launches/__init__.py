"""A launch in flight: the invitation, the request, the answer, and whether the record is the invited person's.

Values of a launch never meet a log: state, code, verifier and link token exist as digests, sealed, or not at all.
"""

from emr.launches.callback import Finished, finish
from emr.launches.identity import decide, identify, mismatch
from emr.launches.invitations import InvitationClosed, invite, open_invitation, revoke_invitation
from emr.launches.refusals import LaunchRefused, forget_old
from emr.launches.requests import begin, begin_ehr, connection_of_server, redirect_uri

__all__ = [
    "Finished",
    "InvitationClosed",
    "LaunchRefused",
    "begin",
    "begin_ehr",
    "connection_of_server",
    "decide",
    "finish",
    "forget_old",
    "identify",
    "invite",
    "mismatch",
    "open_invitation",
    "redirect_uri",
    "revoke_invitation",
]
