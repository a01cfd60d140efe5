"""The doctor's own door: it remembers the last answer, so that a finding can show what was said and by whom."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from emr import catalogue
from emr.doctor.findings import Evidence
from emr.wire.errors import WireError, clean
from emr.wire.http import Answer, Door, Timeouts
from emr.wire.refusals import issues_of
from emr.wire.wellknown import json_object

# A self-test is watched by somebody: a server that needs longer than this for a small answer is said to be slow.
PATIENCE = Timeouts(connect=3.0, read=10.0, wall=20.0)
_OAUTH = frozenset({"authorize", "token", "code", "refresh"})


class WatchedDoor(Door):
    """last: the answer to the latest call, None when none came. made: calls so far.

    patience: for every call instead of the time-outs asked for; None leaves those as they are.
    """

    last: Answer | None = None
    last_at: datetime | None = None
    made: int = 0
    patience: Timeouts | None = None

    def get(self, url: str, **options: Any) -> Answer:
        self._before(options)
        return self._after(super().get(url, **options))

    def post_form(self, url: str, form: Any, **options: Any) -> Answer:
        self._before(options)
        return self._after(super().post_form(url, form, **options))

    def delete(self, url: str, **options: Any) -> Answer:
        self._before(options)
        return self._after(super().delete(url, **options))

    def _before(self, options: dict[str, Any]) -> None:
        self.last, self.made = None, self.made + 1
        if self.patience is not None:
            options["timeout"] = self.patience

    def _after(self, answer: Answer) -> Answer:
        self.last, self.last_at = answer, datetime.now(UTC)
        return answer

    @property
    def clock_skew(self) -> float | None:
        """Seconds the server's clock is ahead of ours, from the last answer's Date; None when it does not say."""
        if self.last is None or self.last_at is None or self.last.server_date is None:
            return None
        return (self.last.server_date - self.last_at).total_seconds()


def code_of(error: WireError, door: Door | None, at: str) -> str:
    """The catalogue's code of a failure: from the refusal itself where there is one, else from the wire."""
    answer = getattr(door, "last", None)
    if answer is None or error.status != answer.status or answer.status < 400:
        return error.code
    return catalogue.recognise(told(answer, at))


def told(answer: Answer, at: str) -> catalogue.Told:
    """What a refusal says, for the catalogue to recognise."""
    document = json_object(answer)
    return catalogue.Told(
        at=at,
        status=answer.status,
        text=answer.body[:4096].decode("utf-8", "replace"),
        oauth=catalogue.oauth_words(document) if at in _OAUTH else frozenset(),
        json=document is not None,
    )


def evidence_of(error: WireError, door: Door | None, at: str, private: Collection[str] = ()) -> Evidence:
    """Host, time, status, OAuth code, request id and the cleaned answer of a failure. No token, no patient.

    private: texts that must not be shown though a server quotes them: a patient's id and names.
    """
    found = [("host", error.host), ("detail", clean(error.detail, private)), ("request id", error.request_id)]
    if error.status is not None:
        found.insert(1, ("HTTP status", str(error.status)))
    answer = getattr(door, "last", None)
    if answer is not None and answer.status == error.status:
        if at in _OAUTH:
            words = sorted(clean(word) for word in catalogue.oauth_words(json_object(answer)))
            found.append(("error fields", "; ".join(words)))
        found.append(("answer", clean(_said(answer, at), private)))
        found.append(("at", f"{datetime.now(UTC):%d-%b-%Y %H:%M:%S} UTC"))
    return tuple((what, value) for what, value in found if value)


def _said(answer: Answer, at: str) -> str:
    """The answer's text; of a FHIR answer the OperationOutcome's issues alone, as all else may be a patient's."""
    if at == "fhir":
        outcome = json_object(answer) or {}
        return "; ".join(f"{issue.code} {issue.diagnostics}" for issue in issues_of(outcome))
    return answer.body[:1000].decode("utf-8", "replace") or "empty"
