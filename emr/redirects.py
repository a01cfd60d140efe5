"""Where an EMR sends people back to us."""

from urllib.parse import urlsplit

from django.conf import settings

from emr.models import ClientRegistration
from emr.wire.errors import NeverAgain


def redirect_uri(registration: ClientRegistration) -> str:
    """The registered redirect URI that is on this site, byte for byte. Raises NeverAgain CFG_REDIRECT."""
    own = urlsplit(settings.PUBLIC_URL)
    for uri in registration.redirect_list:
        parts = urlsplit(uri)
        if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            return uri
    raise NeverAgain("CFG_REDIRECT", "no registered redirect URI is on this site")
