from django.contrib import admin
from django.urls import include, path

from headachemd import health

urlpatterns = [
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("", include("emr.urls")),
    path("", include("patients.urls")),
]
