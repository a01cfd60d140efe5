from django.urls import path

from patients import views

app_name = "patients"
urlpatterns = [
    path("", views.home, name="home"),
    path("practices/<uuid:practice_id>/patients/", views.patient_list, name="list"),
    path("patients/<uuid:pk>/", views.history, name="history"),
]
