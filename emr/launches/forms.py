"""Forms of inviting a patient. Names are typed into a form and never stand in an address."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from emr.models import ClientRegistration, Connection, PatientInvitation, Practice
from emr.views_roster import LookUpForm


def patient_connections(practice: Practice) -> QuerySet[Connection]:
    """The connections over which a patient of this practice can consent, production before sandbox."""
    rows = Connection.objects.select_related("practice", "registration").exclude(state=Connection.State.REVOKED)
    rows = rows.filter(practice=practice, registration__app_type=ClientRegistration.AppType.PATIENT)
    return rows.order_by("registration__environment", "created_at")


class KnownPatientForm(forms.Form):
    """For a patient whose name and birth date the record gives: language, and the connection when there are several."""

    language = forms.ChoiceField(
        label="Language of the letter and the pages", choices=PatientInvitation.Language.choices
    )
    connection = forms.ModelChoiceField(label="Over", queryset=Connection.objects.none(), empty_label=None)

    def __init__(self, *args: Any, practice: Practice, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = patient_connections(practice)
        field = self.fields["connection"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for the type checker
        field.queryset = offered
        self.initial.setdefault("connection", offered.first())
        if len(offered) < 2:
            field.widget = forms.HiddenInput()


class NewPatientForm(KnownPatientForm, LookUpForm):
    """For somebody who is not on file: who it is, as staff know them."""

    field_order = ("family", "given", "birth_date", "language", "connection")
