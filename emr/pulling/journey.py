"""Where a work item stands in its plan: the cursor, as values. Knows no database and makes no calls."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from typing import Any

from emr.models import TypeOutcome
from emr.profiles import Profile, Query

Outcome = TypeOutcome.Outcome
MAX_PAGES = 1000
NOT_GRANTED = "the scope was not granted"
ENDLESS = "the server's page links do not come to an end"
# The code of a list that came whole but for entries that could not be read.
UNREAD = "FHIR_BAD_RESOURCE"
MOST_RESTARTS = 1


def loops(next_url: str, pages: list[str], most: int = MAX_PAGES) -> bool:
    """True when this link was followed before, or too many were; else it is noted in `pages`."""
    mark = hashlib.sha256(next_url.encode()).hexdigest()[:16]
    if mark in pages or len(pages) >= most:
        return True
    pages.append(mark)
    return False


@dataclass(frozen=True)
class Step:
    """One call to make. `next_url`: a further page of the query; `fhir_id`: a read by reference, and `is_shared`
    when what it brings is no patient's."""

    resource_type: str
    query: Query | None
    next_url: str | None = None
    fhir_id: str | None = None
    is_shared: bool = False

    @property
    def is_reference(self) -> bool:
        return self.query is None

    def describe(self) -> str:
        return self.query.describe() if self.query else f"{self.resource_type}/{{id}} by reference"


@dataclass
class Journey:
    """The cursor of a work item: which query of the plan, which page of it, and how the earlier ones ended.

    `skip`: types that are fresh and not asked for, set before the first call; then also those found not granted.
    `references` is None until the plan's queries are done; then the reads left, as [type, id].
    `missing`: why the current list will not be whole though its pages are good, so far. `unread`: the same for entries
    of it that could not be read. `restarts`: how often it was begun anew.
    `answers`: per type, one [outcome, reason, code of the catalogue or ""] for each query or read that ended.
    `failing_from`: the first type that the failures at hand ended, "" when the last call was answered.
    `seen`: per type of the current query, marks of the ids sent so far (store.mark), until the type has ended.
    """

    profile: Profile
    skip: list[str] | None = None
    position: int = 0
    next_url: str | None = None
    pages: list[str] = field(default_factory=list)
    tries: int = 0
    reauthorized: bool = False
    missing: str = ""
    unread: str = ""
    restarts: int = 0
    failing_from: str = ""
    answers: dict[str, list[list[str]]] = field(default_factory=dict)
    references: list[list[str]] | None = None
    seen: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: dict[str, Any], profile: Profile) -> "Journey":
        return cls(profile=profile, **cursor)

    def dump(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "profile"}

    @property
    def plan_done(self) -> bool:
        """True when no query of the plan is left; goes past those of fresh types."""
        plan, skip = self.profile.plan, self.skip or ()
        while self.position < len(plan) and plan[self.position].resource_type in skip:
            self.position += 1
        return self.position >= len(plan)

    def next_step(self) -> Step | None:
        """The next call; None when the plan is done and no reference is left (or none was looked for yet)."""
        if not self.plan_done:
            query = self.profile.plan[self.position]
            return Step(query.resource_type, query, next_url=self.next_url)
        if self.references:
            kind, fhir_id = self.references[0]
            shared = all(query.resource_type != kind for query in self.profile.plan)
            return Step(kind, None, fhir_id=fhir_id, is_shared=shared)
        return None

    def others_first(self) -> int:
        """The reference at hand goes behind the others. Returns how many there are."""
        self.references = [*(self.references or [])[1:], *(self.references or [])[:1]]
        return len(self.references)

    def page_read(self, next_url: str | None, *, missing: str = "", unread: str = "") -> None:
        """A page is stored. Without a further one its query is over; a link seen before ends it too."""
        self.tries, self.reauthorized, self.failing_from = 0, False, ""
        self.missing, self.unread = self.missing or missing, self.unread or unread
        if next_url is None and self.missing:
            self.ended(Outcome.NOT_FETCHED, self.missing)
            return
        if next_url is None:
            self.ended(Outcome.COMPLETE, self.unread, UNREAD if self.unread else "")
            return
        if loops(next_url, self.pages):
            self.ended(Outcome.NOT_FETCHED, ENDLESS)
            return
        self.next_url = next_url

    def begin_anew(self) -> bool:
        """The list at hand from its first page: its next link is no longer held (what a search found is kept for some
        minutes only). False when it is at its first page, or was begun anew before."""
        if self.next_url is None or self.restarts >= MOST_RESTARTS:
            return False
        restarts = self.restarts + 1
        self._forget_pages()
        self.restarts = restarts
        return True

    def _forget_pages(self) -> None:
        self.tries, self.reauthorized, self.restarts = 0, False, 0
        self.missing, self.unread, self.next_url, self.pages = "", "", None, []

    def ended(self, outcome: Outcome, reason: str = "", code: str = "") -> None:
        """The current query or read is over; go on to the next."""
        step = self.next_step()
        if step is None:
            return
        # A result that only a report names says nothing of how its type's lists ended.
        if step.query is not None or step.is_shared:
            self.answers.setdefault(step.resource_type, []).append([str(outcome), reason, code])
        self._forget_pages()
        if step.is_reference and self.references:
            self.references = self.references[1:]
        else:
            self.position += 1

    def end_unread(self, resource_type: str, reasons: Collection[str]) -> None:
        """A type read by reference of which nothing was read ends like a list that ended for one of `reasons`.

        What that list would have referred to is not known, so there is no saying that nothing is missing.
        """
        cut = [answer for answers in self.answers.values() for answer in answers if answer[1] in reasons]
        if cut:
            self.answers.setdefault(resource_type, cut[-1:])

    def not_granted(self, allows: Callable[[str], bool], reason: str) -> list[str]:
        """End at once all types of the plan that are left and may not be read. Returns them."""
        skipped = set(self.skip or ())
        left = dict.fromkeys(query.resource_type for query in self.profile.plan[self.position :])
        refused = [kind for kind in left if kind not in skipped and not allows(kind)]
        step = self.next_step()
        if step is not None and step.resource_type in refused:
            self._forget_pages()
        for kind in refused:
            self.answers.setdefault(kind, []).append([str(Outcome.NOT_PERMITTED), reason, ""])
        self.skip = sorted(skipped.union(refused))
        return refused

    def failed(self) -> None:
        """The current query is given up after failures that may pass: remember where they began."""
        step = self.next_step()
        if step is not None and not self.failing_from:
            self.failing_from = step.resource_type

    def rewind(self) -> None:
        """Back to where the failures began, and of that type to its first query: an outage ends no type."""
        self.tries = 0
        if not self.failing_from:
            return
        first = [n for n, query in enumerate(self.profile.plan) if query.resource_type == self.failing_from]
        self.position = min([*first[:1], self.position])
        undone = {query.resource_type for query in self.profile.plan[self.position :]}
        for resource_type in undone.union(self.profile.read_by_reference):
            self.answers.pop(resource_type, None)
            self.seen.pop(resource_type, None)
        self._forget_pages()
        self.failing_from, self.references = "", None

    def sent(self, marks: dict[str, list[str]]) -> None:
        """Ids of a page, by the type they were sent as."""
        for resource_type, found in marks.items():
            self.seen.setdefault(resource_type, []).extend(found)

    def whole(self, resource_type: str) -> bool:
        """True when every query of the type ended complete, and all of it could be read: what was not sent is then no
        longer there."""
        answers = self.answers.get(resource_type, [])
        return bool(answers) and all(outcome == Outcome.COMPLETE and code != UNREAD for outcome, _, code in answers)

    def type_ended(self, resource_type: str) -> bool:
        """True when no further query of the plan asks for this type."""
        return all(query.resource_type != resource_type for query in self.profile.plan[self.position :])

    def verdict(self, resource_type: str) -> tuple[Outcome, str]:
        """How the type ended over all its queries: complete only if no answer is missing.

        A refused category beside answered ones leaves the type complete, and says which was refused.
        """
        answers = self.answers.get(resource_type, [])
        reasons = "; ".join(dict.fromkeys(reason for _, reason, _ in answers if reason))[:300]
        outcomes = {outcome for outcome, _, _ in answers}
        for bad in (Outcome.NOT_FETCHED, Outcome.NOT_PERMITTED):
            if bad in outcomes:
                return bad, reasons
        if outcomes == {Outcome.NOT_SUPPORTED}:
            return Outcome.NOT_SUPPORTED, reasons
        return Outcome.COMPLETE, reasons

    def code(self, resource_type: str) -> str:
        """The catalogue's code when every answer of the type has the same one, else ""."""
        codes = {code for _, _, code in self.answers.get(resource_type, [])}
        return codes.pop() if len(codes) == 1 else ""
