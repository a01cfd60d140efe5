"""What a patient reads when a launch has ended: one plain page for each ending, in English and Spanish.

Reading level: short words, one thought a sentence. `{practice}` and `{portal}` are filled in where they are known, so
every text also has to read well with the general words that stand for them.
"""

from dataclasses import dataclass, replace
from typing import cast

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from emr import catalogue

Words = str | Promise

LANGUAGES = {"en": "English", "es": "Español"}

# The data-use questions (emr.models.registrations.DataUse), here for their translation.
QUESTIONS = (
    gettext_noop("What is the data used for?"),
    gettext_noop("With whom is it shared?"),
    gettext_noop("Is it sold, identifiable or not?"),
    gettext_noop("Where is it stored, and is it encrypted?"),
    gettext_noop("How does a patient have it deleted, or end the consent?"),
    gettext_noop("How are patients told of a breach or of a changed policy?"),
    gettext_noop("Who answers questions about it?"),
)


@dataclass(frozen=True)
class Ending:
    """title, what happened, what to do. status: of the HTTP answer. good: nothing is wrong."""

    title: Words
    text: Words
    todo: Words
    status: int = 400
    good: bool = False

    def about(self, practice: str, portal: str) -> "Ending":
        """With the names filled in; "" where one is not known."""
        names = {"practice": practice or _("the clinic"), "portal": portal or _("the sign-in page")}

        def filled(words: Words) -> Words:
            return format_lazy(cast(str, words), **names)  # a lazy text stays lazy: the page shows it in two languages

        return replace(self, title=filled(self.title), text=filled(self.text), todo=filled(self.todo))


_NEW_LINK = _("Ask {practice} for a new link.")
_START_AGAIN = _("Open the link from {practice} again. If it no longer works, ask for a new one.")
_SHOW_CLINIC = _("Show this page to {practice}, or tell them the code below.")

THANKS = Ending(
    _("Thank you"),
    _("{practice} can now read your record. It can take a few minutes until all of it is there."),
    _("You can close this page. If this is not your own phone or computer, also sign out of {portal}."),
    status=200,
    good=True,
)
HELD = Ending(
    _("Thank you. {practice} will check"),
    _("First, {practice} will check that this is the right record. Until then, nobody there can see it."),
    _("You do not need to do anything now. {practice} will tell you if something is needed."),
    status=200,
    good=True,
)

# Why a link does not open (emr.launches.InvitationClosed.reason).
CLOSED = {
    "expired": Ending(
        _("This link is too old"),
        _("The link works for some days only. That time is over. Nothing was shared."),
        _NEW_LINK,
        status=410,
    ),
    "used": Ending(
        _("This link was used before"),
        _("Each link works once. If you used it and saw “Thank you”, all is well."),
        _("If you did not use it, tell {practice}."),
        status=410,
    ),
    "revoked": Ending(
        _("This link was taken back"),
        _("{practice} took this link back. Nothing was shared."),
        _("Ask {practice} if you should get a new link."),
        status=410,
    ),
    "unknown": Ending(
        _("We do not know this link"),
        _("Part of the link may be missing. Nothing was shared."),
        _("Open the whole link, or scan the square code again. If that does not help, ask {practice} for a new link."),
        status=404,
    ),
}

DENIED = Ending(
    _("You said no. That is all right"),
    _("Nothing was shared, and {practice} cannot see your record."),
    _("If you change your mind, open the link from {practice} again, or ask for a new one."),
    status=200,
)
OTHER_BROWSER = Ending(
    _("You came back in another browser"),
    _("You must come back in the same browser in which you started. This keeps your record safe. Nothing was shared."),
    _("Open the link from {practice} again, and stay in one browser until the end."),
    status=403,
)
TOO_LATE = Ending(
    _("It took too long"),
    _("For your safety, you have about ten minutes to sign in. Nothing was shared."),
    _START_AGAIN,
)
CODE_OVER = Ending(
    _("The sign-in is too old"),
    _("{portal} no longer accepts this sign-in. It may have been too long ago. Nothing was shared."),
    _START_AGAIN,
)
REPLAYED = Ending(
    _("This was done before"),
    _("This page works once. If you saw “Thank you”, all is well."),
    _("You can close this page."),
)
LINK_OVER = Ending(
    _("The link has ended while you signed in"),
    _("It was used, or {practice} took it back. If you saw “Thank you” before, all is well."),
    _NEW_LINK,
)
NO_STATE = Ending(
    _("Part of the address is missing"),
    _("You came back without what we need to know your sign-in. Nothing was shared."),
    _START_AGAIN,
)
NOT_OPEN = Ending(
    _("We cannot go on from here"),
    _("This page belongs to no sign-in that we know. You may have used the back button or a second tab."),
    _START_AGAIN,
)
OTHER_ADDRESS = Ending(
    _("You came back to the wrong page"),
    _("This sign-in should have ended on another page. To keep your record safe, we stopped. Nothing was shared."),
    _SHOW_CLINIC,
)
OTHER_SERVER = Ending(
    _("The answer came from somewhere else"),
    _("It did not come from {portal}. To keep your record safe, we stopped. Nothing was shared."),
    _SHOW_CLINIC,
    status=403,
)
NO_ANSWER = Ending(
    _("We could not read the answer"),
    _("Part of what {portal} sent is missing. Nothing was shared."),
    _START_AGAIN,
)
NO_PATIENT = Ending(
    _("No record was chosen"),
    _("{portal} did not say whose record it is. Nothing was shared."),
    _("Open the link again and choose your record. If that does not help, show the code below to {practice}."),
)
NOT_SURE = Ending(
    _("We could not be sure who answered"),
    _("To keep your record safe, we stopped. Nothing was shared."),
    _SHOW_CLINIC,
    status=403,
)
NOT_SWITCHED_ON = Ending(
    _("{practice} has to switch this on first"),
    _("{portal} does not share with us yet. It is not your fault. Nothing was shared."),
    _SHOW_CLINIC,
    status=502,
)
CLINIC_MUST_ACT = Ending(
    _("{practice} has to change something first"),
    _("{portal} did not accept our request. It is not your fault. Nothing was shared."),
    _SHOW_CLINIC,
    status=502,
)
TRY_LATER = Ending(
    _("{portal} does not answer now"),
    _("Please wait a few minutes. Nothing was shared."),
    _START_AGAIN,
    status=503,
)
MANY_AT_ONCE = Ending(
    _("Many people are signing in right now"),
    _("Please wait a minute or two. Nothing was shared."),
    _START_AGAIN,
    status=503,
)

_BY_CODE = {
    "AUTHZ_DENIED": DENIED,
    "AUTHZ_STATE": NOT_OPEN,
    "AUTHZ_NO_PATIENT": NO_PATIENT,
    "AUTHZ_401_AUD": NOT_SWITCHED_ON,
    "AUTHZ_APP_NOT_ACTIVATED": NOT_SWITCHED_ON,
    "FHIR_429": MANY_AT_ONCE,
    "LAUNCH_ANSWER": NO_ANSWER,
    "LAUNCH_CLOSED": NOT_SWITCHED_ON,
    "LAUNCH_EXPIRED": TOO_LATE,
    "LAUNCH_INVITATION": LINK_OVER,
    "LAUNCH_OTHER_ADDRESS": OTHER_ADDRESS,
    "LAUNCH_OTHER_BROWSER": OTHER_BROWSER,
    "LAUNCH_OTHER_SERVER": OTHER_SERVER,
    "LAUNCH_STATE_MISSING": NO_STATE,
    "LAUNCH_TOO_MANY": MANY_AT_ONCE,
    "LAUNCH_USED": REPLAYED,
    "OIDC_INVALID": NOT_SURE,
    "TOK_CODE_INVALID": CODE_OVER,
}
# How the catalogue says that a failure may pass by itself.
_PASSING = frozenset({"backs off", "once"})


def of_code(code: str) -> Ending:
    """The page for a refusal, by its code in the error catalogue; one without a page of its own goes by its retries."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    return TRY_LATER if catalogue.explain(code).retries in _PASSING else CLINIC_MUST_ACT
