from django.urls import path

from emr import views, views_pulls, views_roster
from emr.models import Environment

app_name = "emr"
urlpatterns = [
    path("sources/<uuid:pk>/", views.source, name="source"),
    path("practices/<uuid:practice_id>/pulls/", views_pulls.pulls, name="pulls"),
    path("pulls/<uuid:pk>/", views_pulls.pull, name="pull"),
    path("pulls/<uuid:pk>/<slug:step>/", views_pulls.steer, name="steer"),
    path("enrolments/<uuid:pk>/refresh/", views_pulls.refresh, name="refresh"),
    path("practices/<uuid:practice_id>/quarantine/", views_pulls.quarantined, name="quarantine"),
    path("quarantine/<uuid:pk>/bytes/", views_pulls.quarantined_bytes, name="quarantined"),
    path("quarantine/<uuid:pk>/retry/", views_pulls.retry, name="retry"),
    path("practices/<uuid:practice_id>/roster/", views_roster.roster, name="roster"),
    path("practices/<uuid:practice_id>/schedule/", views_roster.schedule_list, name="schedule"),
    path("invitations/<str:token>/", views.invitation, name="invitation"),
    path(".well-known/jwks.json", views.jwks, {"environment": Environment.PRODUCTION}, name="jwks"),
    path(".well-known/jwks-sandbox.json", views.jwks, {"environment": Environment.SANDBOX}, name="jwks_sandbox"),
]
