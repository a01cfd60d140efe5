"""A base URL somebody typed: its shape, and whether host, portal, environment and app type belong together.

Shape and another practice's code are errors (CFG_PRACTICE_CODE); a host that does not fit is an error or, where the
vendor may know more than we do, a warning (CFG_WRONG_HOST).
"""

import re

from django.conf import settings
from django.core.exceptions import ValidationError

from emr.models import ClientRegistration, DirectoryEntry, Practice
from emr.profiles import Profile
from emr.wire import origins
from emr.wire.errors import NeverAgain

_PRACTICE_CODE = re.compile(r"[A-Z]{6}")


def checked(text: str, profile: Profile, practice: Practice | None) -> str:
    """The base URL without its trailing slash. Raises ValidationError unless origin, path and code fit."""
    try:
        base = origins.parse_base(text.strip())
    except NeverAgain as error:
        raise ValidationError(f"This is not a FHIR base URL: {error.detail}. {profile.base_path_hint}") from None
    if base.scheme != "https" and base.host_port not in settings.INSECURE_FHIR_HOSTS:
        raise ValidationError(
            "The address must start with https://. Plain http is for addresses listed in INSECURE_FHIR_HOSTS "
            f"only; {base.host_port} is not."
        )
    if not re.fullmatch(profile.base_path_pattern, base.path):
        raise ValidationError(f"This is not the base URL of a practice at {profile.name}. {profile.base_path_hint}")
    code = code_of(base.url)
    if practice and code and code != practice.code:
        raise ValidationError(
            f"The address ends with the practice code {code}, but {practice.name} has {practice.code}."
        )
    return base.url


def code_of(base_url: str) -> str:
    """The practice code a base URL ends with, or ""."""
    last = base_url.rstrip("/").rpartition("/")[2]
    return last if _PRACTICE_CODE.fullmatch(last) else ""


def doubts(base_url: str, registration: ClientRegistration) -> list[str]:
    """Warnings about a checked base URL. Raises ValidationError for a host of the other environment.

    The addresses of INSECURE_FHIR_HOSTS are our own sandbox and never doubted.
    """
    base, told = origins.parse_base(base_url), registration.profile.connecting
    if base.host_port in settings.INSECURE_FHIR_HOSTS:
        return []
    portal = told.portal_of_host(base.host)
    if portal is None:
        return [
            f"{base.host} is not a host we know of {registration.profile.name}. Use it only if the vendor's portal "
            "shows it: tokens will be sent there."
        ]
    return [
        *_environment(base.host, code_of(base_url), registration),
        *_app_type(portal.name, portal.app_types, registration),
        *_unlisted(base_url, registration),
    ]


def _environment(host: str, code: str, registration: ClientRegistration) -> list[str]:
    told, environment = registration.profile.connecting, registration.environment
    portal = told.portal_of_host(host)
    if portal is None:
        return []
    test_practice = code in portal.sandbox_codes
    if environment == "production" and (portal.environment == "sandbox" or test_practice):
        raise ValidationError(
            f"{host}{f' with the code {code}' if test_practice else ''} belongs to the vendor's sandbox; this "
            "registration is a production one. Sandbox and production are separate registrations with separate keys."
        )
    if environment == "sandbox" and portal.environment == "production" and not test_practice:
        return [
            f"{host} is a production host and {code} is no test practice we know; this registration is a sandbox one."
        ]
    return []


def _app_type(portal: str, app_types: tuple[str, ...], registration: ClientRegistration) -> list[str]:
    if registration.app_type in app_types:
        return []
    right = registration.profile.connecting.portals_for(registration.environment, registration.app_type)
    where = ", ".join(f"{one.name} ({', '.join(one.hosts) or 'host not known'})" for one in right)
    return [
        f"This is the host of the {portal} portal, where no {registration.get_app_type_display()} app is registered"
        + (f"; such an app belongs to {where}." if where else ".")
    ]


def _unlisted(base_url: str, registration: ClientRegistration) -> list[str]:
    """Only where there is a directory to look in, and never for test practices, which no directory lists."""
    entries = DirectoryEntry.objects.filter(vendor_profile=registration.vendor_profile)
    if registration.environment == "sandbox" or not entries.exists():
        return []
    if entries.filter(base_url=base_url).exists():
        return []
    same = entries.filter(code=code_of(base_url)).first()
    if same is not None:
        return [f"The directory has this code at {same.base_url} ({same.name})."]
    return ["The practice is not in the imported directory: it may not have enabled its FHIR API yet."]
