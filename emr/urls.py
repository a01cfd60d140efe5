from django.urls import path

from emr import views
from emr.models import Environment

app_name = "emr"
urlpatterns = [
    path("sources/<uuid:pk>/", views.source, name="source"),
    path("invitations/<str:token>/", views.invitation, name="invitation"),
    path(".well-known/jwks.json", views.jwks, {"environment": Environment.PRODUCTION}, name="jwks"),
    path(".well-known/jwks-sandbox.json", views.jwks, {"environment": Environment.SANDBOX}, name="jwks_sandbox"),
]
