"""The admins' side: practices, people, registrations, keys, connections, and the metadata of what was pulled.

Charts are not here: names, FHIR ids and bodies open in the staff pages only, with membership check and
audit row.
"""

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin

from emr.accounts.sign_in import guard_admin
from emr.admin import (
    auditing,
    charts,
    connections,
    doctor,
    exports,
    grants,
    identities,
    letters,
    people,
    pulls,
    registrations,
    scoping,
    signing,
    tokens,
)

__all__ = [
    "auditing",
    "charts",
    "connections",
    "doctor",
    "exports",
    "grants",
    "identities",
    "letters",
    "people",
    "pulls",
    "registrations",
    "scoping",
    "signing",
    "tokens",
]

# Whoever adds an address to somebody's account can have its password reset: that is the owner's to do.
admin.site.unregister(EmailAddress)
# Secrets and session keys are nobody's to read.
admin.site.unregister([Authenticator, UserSession])
scoping.lay_over(admin.site)
admin.site.site_header = admin.site.site_title = "HeadacheMD"
admin.site.index_title = "Practices and connections"
# Django's own admin login knows no rate limit; allauth's page does.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.admin_view = guard_admin(admin.site.admin_view)  # type: ignore[method-assign]
