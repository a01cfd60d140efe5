"""What is wrong or doubtful about a registration's scopes, before a vendor says so with a bare 400 or 403.

Sources: SMART App Launch 2.2, "Scopes and Launch Context"; the vendor profile for what is advertised.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emr.models import ClientRegistration
from emr.profiles import Profile
from emr.profiles.connecting import READ_V1, READ_V2
from emr.wire import scopes

AppType = ClientRegistration.AppType

# Which context an app's scopes have; SMART: system without a person, patient or user with one.
CONTEXTS = {
    AppType.BACKEND_SINGLE: ("system",),
    AppType.BACKEND_BULK: ("system",),
    AppType.PATIENT: ("patient",),
    AppType.PROVIDER: ("user", "patient"),
}
_NEEDS_PERSON = {"openid", "profile", "fhirUser", "offline_access", "online_access", "launch"}


@dataclass(frozen=True)
class Advice:
    """One sentence. `refused`: the vendor is known to refuse it, so it cannot be saved; otherwise a warning."""

    text: str
    refused: bool = False
    scope: str = ""


def advise(words: Sequence[str], profile: Profile, app_type: str) -> tuple[Advice, ...]:
    """All there is to say about these scopes for an app of this type; nothing for scopes that are well."""
    app = AppType(app_type)
    said = [*_doubled(words)]
    for word in dict.fromkeys(words):
        said += _about(word, profile, app)
    return (*said, *_about_all(words, profile, app))


def offered(profile: Profile, app_type: str) -> list[tuple[str, list[str]]]:
    """What the picker offers: (heading, scopes) for version 1 and version 2 syntax, and the rest by name."""
    listed, app = profile.connecting.advertised, AppType(app_type)
    context = CONTEXTS[app][0]
    groups = [
        ("Version 1 syntax", list(listed.offered(context, READ_V1))),
        ("Version 2 syntax", list(listed.offered(context, READ_V2))),
    ]
    if app == AppType.BACKEND_BULK:
        groups.insert(0, ("Every bulk request", [listed.group_scope]))
    elif context != "system":
        groups.insert(0, ("Sign-in and launch", list(listed.plain)))
    return groups


def _doubled(words: Sequence[str]) -> Iterator[Advice]:
    for word, count in Counter(words).items():
        if count > 1:
            yield Advice(f"{word} is listed {count} times.", scope=word)


def _about(word: str, profile: Profile, app: AppType) -> Iterator[Advice]:
    listed = profile.connecting.advertised
    if "/" not in word or word.startswith("launch"):
        yield from _about_plain(word, profile, app)
        return
    if word.endswith(".search"):
        yield Advice(f"{word}: .search is no SMART scope. Write .read (version 1) or .rs (version 2).", True, word)
        return
    parsed = next(scopes.parse(word), None)
    if parsed is None:
        yield Advice(
            f"{word} is not a SMART scope; one reads like system/Patient.read or system/Patient.rs.", True, word
        )
        return
    if parsed.context not in CONTEXTS[app]:
        wanted = " or ".join(f"{context}/" for context in CONTEXTS[app])
        yield Advice(f"{word}: scopes of a {app.label} app begin with {wanted}.", True, word)
    if parsed.resource_type in listed.absent_types:
        yield Advice(f"{word}: {profile.name} has no {parsed.resource_type} scope in any form.", True, word)
    elif parsed.permissions & set("cud"):
        yield Advice(f"{word} asks for leave to write; nothing here writes to the EMR.", scope=word)
    elif not listed.lists(word):
        yield Advice(f"{word} is not among the scopes {profile.name} advertises; it may be refused.", scope=word)
    elif parsed.resource_type == "*":
        yield Advice(f"{word} asks for everything. Name the types instead: less is granted more readily.", scope=word)


def _about_plain(word: str, profile: Profile, app: AppType) -> Iterator[Advice]:
    kind = word.partition("/")[0]
    if kind in _NEEDS_PERSON and "system" in CONTEXTS[app]:
        yield Advice(f"{word} belongs to a sign-in; a backend app has none. Leave it out.", True, word)
    elif not profile.connecting.advertised.lists(word):
        yield Advice(f"{word} is not among the scopes {profile.name} advertises; it may be refused.", scope=word)


def _about_all(words: Sequence[str], profile: Profile, app: AppType) -> Iterator[Advice]:
    yield from _about_group(words, profile, app)
    forms = {word.rpartition(".")[2].partition("?")[0] for word in words if "/" in word and "." in word}
    if forms & {"read", "write", "*"} and forms - {"read", "write", "*", "search"}:
        yield Advice("Version 1 (.read) and version 2 (.rs) syntax are mixed. Keep to the one ticked in the portal.")
    if app == AppType.PATIENT and "launch/patient" not in words:
        yield Advice("Without launch/patient the answer names no patient, and nothing can be pulled.")
    if app != AppType.PATIENT and app != AppType.PROVIDER:
        yield from _about_plan(words, profile)
    elif {"openid", "fhirUser"} - set(words):
        yield Advice("Ask for openid and fhirUser: without them nobody knows who signed in.")


def _about_group(words: Sequence[str], profile: Profile, app: AppType) -> Iterator[Advice]:
    group = profile.connecting.advertised.group_scope
    kind = group.partition(".")[0]
    has = any(word.startswith(f"{kind}.") for word in words)
    if app == AppType.BACKEND_BULK and not has:
        yield Advice(f"{group} must be in every token request of a bulk app.", True, group)
    if app == AppType.BACKEND_SINGLE and has:
        yield Advice(f"{group} must not be in a token request of a single-patient app.", True, group)


def _about_plan(words: Sequence[str], profile: Profile) -> Iterator[Advice]:
    granted = " ".join(words)
    without = [kind for kind in profile.planned_types if not scopes.allows(granted, kind)]
    if words and without:
        yield Advice(f"Not asked for, so shown as not permitted: {', '.join(without)}.")
