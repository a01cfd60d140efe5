from django.urls import path

from emr import (
    views,
    views_audit,
    views_launches,
    views_launches_ehr,
    views_launches_staff,
    views_openid,
    views_people,
    views_pulls,
    views_roster,
)
from emr.models import Environment

app_name = "emr"
urlpatterns = [
    path("sources/<uuid:pk>/", views.source, name="source"),
    path("practices/<uuid:practice_id>/pulls/", views_pulls.pulls, name="pulls"),
    path("practices/<uuid:practice_id>/changes/", views_pulls.changed, name="changes"),
    path("pulls/<uuid:pk>/", views_pulls.pull, name="pull"),
    path("pulls/<uuid:pk>/<slug:step>/", views_pulls.steer, name="steer"),
    path("enrolments/<uuid:pk>/refresh/", views_pulls.refresh, name="refresh"),
    path("practices/<uuid:practice_id>/quarantine/", views_pulls.quarantined, name="quarantine"),
    path("quarantine/<uuid:pk>/bytes/", views_pulls.quarantined_bytes, name="quarantined"),
    path("quarantine/<uuid:pk>/retry/", views_pulls.retry, name="retry"),
    path("practices/<uuid:practice_id>/roster/", views_roster.roster, name="roster"),
    path("practices/<uuid:practice_id>/schedule/", views_roster.schedule_list, name="schedule"),
    path("accounts/openid/<uuid:pk>/", views_openid.start, name="openid"),
    path("accounts/openid/<uuid:pk>/callback/", views_openid.callback, name="openid_callback"),
    path("session/", views_people.session, name="session"),
    path("practices/<uuid:practice_id>/", views_people.practice_page, name="practice"),
    path("practices/<uuid:practice_id>/switch/", views_people.switch, name="switch"),
    path("practices/<uuid:practice_id>/members/", views_people.members, name="members"),
    path("practices/<uuid:practice_id>/break-glass/", views_people.glass, name="break_glass"),
    path("practices/<uuid:practice_id>/break-glass/close/", views_people.glass_close, name="break_glass_close"),
    path("practices/<uuid:practice_id>/audit/", views_audit.trail, name="audit-trail"),
    path("practices/<uuid:practice_id>/audit/export/", views_audit.export, name="audit-export"),
    path("invitations/<str:token>/", views.invitation, name="invitation"),
    # Launches: patients and clinicians at an EMR's sign-in, and what staff do about consents
    path("i/", views_launches.begin, name="launch-begin"),
    path("i/<str:token>/", views_launches.invited, name="launch-invited"),
    path("emr/callback", views_launches.callback, name="launch-callback"),
    path("emr/launch", views_launches_ehr.launch, name="launch"),
    path("practices/<uuid:practice_id>/consents/", views_launches_staff.calendar, name="consents"),
    path("practices/<uuid:practice_id>/consents/invite/", views_launches_staff.invite, name="consent-invite"),
    path("sources/<uuid:pk>/consent/", views_launches_staff.panel, name="consent"),
    path("consents/<uuid:pk>/decide/", views_launches_staff.decide, name="consent-decide"),
    path("consents/<uuid:pk>/disconnect/", views_launches_staff.disconnect, name="consent-disconnect"),
    path("consents/<uuid:pk>/reconnect/", views_launches_staff.reconnect, name="consent-reconnect"),
    path("patient-invitations/<uuid:pk>/withdraw/", views_launches_staff.withdraw, name="invitation-withdraw"),
    path(".well-known/jwks.json", views.jwks, {"environment": Environment.PRODUCTION}, name="jwks"),
    path(".well-known/jwks-sandbox.json", views.jwks, {"environment": Environment.SANDBOX}, name="jwks_sandbox"),
]
