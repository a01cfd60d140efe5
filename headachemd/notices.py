"""Where what is said once on the next page waits: a signed cookie of this host alone, as all others of ours."""

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class OwnCookie(CookieStorage):
    """Path and Secure are as the prefix asks (RFC 6265bis 4.1.3.2): no other host of the domain writes our words."""

    cookie_name = "__Host-messages" if settings.HTTPS else "headachemd_messages"


class Notices(FallbackStorage):
    """What is too long for a cookie waits in the session, as Django has it."""

    storage_classes = (OwnCookie, SessionStorage)
