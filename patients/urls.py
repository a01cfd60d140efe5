from django.urls import path

from patients import views, views_arriving, views_audit, views_entering, views_paper, views_record

app_name = "patients"
urlpatterns = [
    path("", views.home, name="home"),
    path("practices/<uuid:practice_id>/patients/", views.patient_list, name="list"),
    path("patients/<uuid:pk>/", views.history, name="history"),
    path("enrolments/<uuid:pk>/history/", views_arriving.arrive, name="arrive"),
    path("patients/<uuid:pk>/timeline/", views_record.patient_timeline, name="timeline"),
    path("patients/<uuid:pk>/search/", views_record.search_record, name="search-record"),
    path("patients/<uuid:pk>/print/", views_paper.print_view, name="print"),
    path("patients/<uuid:pk>/exports/", views_paper.exports_page, name="exports"),
    # For the privacy officer
    path("practices/<uuid:practice_id>/audit/patients/", views_audit.find, name="audit-find"),
    path("patients/<uuid:pk>/seen/", views_audit.seen, name="seen"),
    # What staff enter
    path("patients/<uuid:pk>/assessments/", views_entering.assessments, name="assessments"),
    path("patients/<uuid:pk>/assessments/new/", views_entering.assessment_new, name="assessment-new"),
    path(
        "patients/<uuid:pk>/assessments/<uuid:assessment>/correct/",
        views_entering.assessment_correct,
        name="assessment-correct",
    ),
    path("patients/<uuid:pk>/trials/<slug:about>/attest/", views_entering.attest, name="attest"),
    path("patients/<uuid:pk>/prompts/", views_entering.prompts, name="prompts"),
    path("practices/<uuid:practice_id>/medications/", views_entering.bound_texts, name="bindings"),
    path("practices/<uuid:practice_id>/medications/<uuid:pk>/", views_entering.bind, name="bind"),
]
