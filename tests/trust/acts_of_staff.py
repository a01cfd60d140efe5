"""What staff, patients and visitors post to the pages of charts and connections, and the rows it leaves."""

import datetime
import json
import uuid
from typing import Any

from django.urls import reverse

from emr.accounts import invitations as members_invitations
from emr.launches import invitations as patients_invitations
from emr.models import (
    BreakGlass,
    Connection,
    Enrolment,
    Grant,
    Invitation,
    LookUp,
    Membership,
    PatientInvitation,
    Pull,
    Quarantine,
    Resource,
)
from patients.models import Assessment, Attestation, DrugBinding, PromptDismissal
from tests.conftest import member
from tests.entering import posts
from tests.trust.acting import ADMIN, CLINICIAN, NOBODY, OFFICER, Act, Filled, Stage, hidden, sends, soon

PRACTICE, PATIENT = "practices/<uuid:practice_id>/", "patients/<uuid:pk>/"
REASON = "The patient is unconscious in the emergency room"


def pages_of(name: str, stage: Stage, *args: Any) -> str:
    return reverse(name, args=args or [stage.practice.pk])


# --- charts ---


def correcting(**data: Any) -> Any:
    def filled(stage: Stage) -> Filled:
        old = Assessment.objects.create(
            practice=stage.practice, patient=stage.chart, date=datetime.date(2026, 11, 20), headache_days=4,
            origin="clinician", entered_by=stage.person(CLINICIAN),
        )  # fmt: skip
        return Filled(
            posts.assessment(seen=str(old.pk), why="a slip of the pen") | _withdrawal(old.pk, data),
            {"assessment": old.pk},
        )

    return filled


def attesting(**data: Any) -> Any:
    def filled(stage: Stage) -> Filled:
        old = Attestation.objects.create(
            practice=stage.practice, patient=stage.chart, ingredient="topiramate", outcome="effective",
            stopped="unknown", origin="clinician", target_dose="yes", for_headache="yes",
            entered_by=stage.person(CLINICIAN),
        )  # fmt: skip
        return Filled(posts.attestation(seen=str(old.pk), why="a slip of the pen") | _withdrawal(old.pk, data))

    return filled


def _withdrawal(pk: uuid.UUID, data: dict[str, Any]) -> dict[str, Any]:
    own = {"withdraw-submission": str(uuid.uuid4()), "withdraw-seen": str(pk)}
    return own | data if data else {}


def prompt_again(stage: Stage) -> Filled:
    row = PromptDismissal.objects.create(
        practice=stage.practice, patient=stage.chart, entered_by=stage.person(CLINICIAN), prompt="09", version="1",
        fingerprint="0f" * 32, why="seen",
    )  # fmt: skip
    return Filled({"again": str(row.pk)})


def binding(stage: Stage) -> Filled:
    drugs = {"submission": str(uuid.uuid4()), "meaning": "drugs", "ingredient_0": "topiramate", "why": "said so"}
    return Filled(drugs, {"pk": stage.chart.entries.get().source_id})


def unbinding(stage: Stage) -> Filled:
    entry = stage.chart.entries.get()
    old = DrugBinding.objects.create(
        practice=stage.practice, text=entry.title.lower(), written=entry.title, ingredients=["topiramate"],
        entered_by=stage.person(CLINICIAN),
    )  # fmt: skip
    data = {"submission": str(uuid.uuid4()), "seen": str(old.pk), "meaning": "unknown", "why": "not so"}
    return Filled(data, {"pk": entry.source_id})


CHARTS = [
    Act(f"{PRACTICE}patients/", ("list-patients B -",), sends(q="canary")),
    Act(f"{PATIENT}search/", ("search-record B chart",), sends(q="canary")),
    Act(f"{PATIENT}exports/", ("export B chart",), sends(format="csv"), named="csv"),
    Act(f"{PATIENT}exports/", ("export B chart",), sends(format="fhir"), named="fhir"),
    Act(f"{PATIENT}assessments/new/", ("assessment B chart",), lambda stage: Filled(posts.assessment())),
    Act(f"{PATIENT}assessments/<uuid:assessment>/correct/", ("assessment B chart",), correcting()),
    Act(f"{PATIENT}assessments/<uuid:assessment>/correct/", ("assessment B chart",),
        correcting(**{"withdraw-why": "another patient's"}), named="withdraw"),
    Act(f"{PATIENT}trials/<slug:about>/attest/", ("attestation B chart",), lambda stage: Filled(posts.attestation())),
    Act(f"{PATIENT}trials/<slug:about>/attest/", ("attestation B chart",), attesting(), named="correct"),
    Act(f"{PATIENT}trials/<slug:about>/attest/", ("attestation B chart",),
        attesting(**{"withdraw-why": "wrong drug"}), named="withdraw"),
    Act(f"{PATIENT}prompts/", ("dismissal B chart",),
        sends(prompt="09", version="1", fingerprint="0f" * 32, why="known to the clinician")),
    Act(f"{PATIENT}prompts/", ("dismissal B chart",), prompt_again, named="again"),
    Act(f"{PRACTICE}medications/<uuid:pk>/", ("binding B -",), binding),
    Act(f"{PRACTICE}medications/<uuid:pk>/", ("binding B -",), unbinding, named="unbind"),
]  # fmt: skip


# --- pulls, roster, schedule ---


def steering(step: str, state: Pull.State) -> Any:
    def filled(stage: Stage) -> Filled:
        row = stage.rows.of(Pull)
        Pull.objects.filter(connection=row.connection).exclude(pk=row.pk).update(state=Pull.State.COMPLETE)
        Pull.objects.filter(pk=row.pk).update(state=state)
        return Filled(ids={"pk": row.pk, "step": step})

    return filled


def refreshing(stage: Stage) -> Filled:
    own = Enrolment.objects.filter(connection__practice=stage.practice, patient_fhir_id=stage.chart.fhir_id)
    return Filled(ids={"pk": own.get().pk})


def quarantined(stage: Stage) -> Filled:
    row = stage.rows.of(Quarantine)
    Quarantine.objects.filter(pk=row.pk).update(patient_fhir_id=stage.chart.fhir_id, released_at=None)
    return Filled(ids={"pk": row.pk})


def rostered(stage: Stage) -> Connection:
    """The one connection of the practice that its roster belongs to."""
    link = Enrolment.objects.get(connection__practice=stage.practice, patient_fhir_id=stage.chart.fhir_id).connection
    Connection.objects.filter(pk=link.pk).update(state=Connection.State.ACTIVE)
    Connection.objects.filter(practice=stage.practice).exclude(pk=link.pk).update(state=Connection.State.REVOKED)
    LookUp.objects.filter(practice=stage.practice).update(state=LookUp.State.ENROLLED)
    return link


def looking_up(stage: Stage) -> Filled:
    rostered(stage)
    return Filled({"do": "look-up", "family": "Weaver", "given": "Ann", "birth_date": "02/03/1980"})


def enrolling(stage: Stage) -> Filled:
    link = rostered(stage)
    row = stage.rows.insert(LookUp, {"connection_id": link.pk, "state": LookUp.State.DONE})
    LookUp.objects.filter(pk=row.pk).update(found=[{"fhir_id": "new-1"}])
    return Filled({"do": "enrol", "look_up": str(row.pk), "person": "new-1"})


def listing(page: str, text: str, do: str) -> Any:
    def filled(stage: Stage) -> Filled:
        rostered(stage)
        if do == "preview":
            return Filled({"do": do, "text": text})
        shown = stage.client(CLINICIAN).post(pages_of(page, stage), {"do": "preview", "text": text})
        seal = {"seal": hidden(shown, "seal")} if 'name="seal"' in shown.content.decode() else {}
        return Filled({"do": do, "text": text} | seal)

    return filled


NEW_PATIENTS = "fhir_id\nnew-1\nnew-2\n"
APPOINTMENTS = "fhir_id,date,time\np-Qbcanary,11/23/2026,09:30\n"

CONNECTION = [
    Act("pulls/<uuid:pk>/<slug:step>/", ("pull B -",), steering("pause", Pull.State.RUNNING), named="pause"),
    Act("pulls/<uuid:pk>/<slug:step>/", ("pull B -",), steering("resume", Pull.State.PAUSED), named="resume"),
    Act("pulls/<uuid:pk>/<slug:step>/", ("pull B -",), steering("cancel", Pull.State.RUNNING), named="cancel"),
    Act("enrolments/<uuid:pk>/refresh/", ("pull B chart",), refreshing),
    Act("quarantine/<uuid:pk>/bytes/", ("quarantine B chart",), quarantined),
    Act("quarantine/<uuid:pk>/retry/", ("quarantine B chart",), quarantined),
    Act(f"{PRACTICE}roster/", ("roster B -",), looking_up, named="look-up"),
    Act(f"{PRACTICE}roster/", ("roster B -",), enrolling, named="enrol"),
    Act(f"{PRACTICE}roster/", ("roster B -",), listing("emr:roster", NEW_PATIENTS, "preview"), named="preview"),
    Act(f"{PRACTICE}roster/", ("roster B -",), listing("emr:roster", NEW_PATIENTS, "apply"), named="apply"),
    Act(f"{PRACTICE}schedule/", ("roster B -",), listing("emr:schedule", APPOINTMENTS, "preview"), named="preview"),
    Act(f"{PRACTICE}schedule/", ("roster B -",), listing("emr:schedule", APPOINTMENTS, "apply"), named="apply"),
]  # fmt: skip


# --- consents ---


def patients_app(stage: Stage) -> Connection:
    return Connection.objects.get(practice=stage.practice, registration__app_type="patient")


def inviting(stage: Stage) -> Filled:
    person = {"family": "Weaver", "given": "Ann", "birth_date": "1980-02-03", "language": "en"}
    return Filled(person | {"connection": str(patients_app(stage).pk)})


def inviting_known(stage: Stage) -> Filled:
    row = Resource.objects.get(practice=stage.practice, resource_type="Patient", fhir_id="c-Qbcanary")
    body = json.loads(row.body) | {"birthDate": "1980-02-03"}
    Resource.objects.filter(pk=row.pk).update(body=json.dumps(body))
    return Filled({"connection": str(patients_app(stage).pk), "language": "en"}, {"pk": row.pk})


def of_grant(state: Grant.State, **data: Any) -> Any:
    def filled(stage: Stage) -> Filled:
        return Filled(data, {"pk": Grant.objects.get(connection__practice=stage.practice, user=None, state=state).pk})

    return filled


def withdrawing(stage: Stage) -> Filled:
    row = stage.rows.of(PatientInvitation)
    until = soon(PatientInvitation.LIFE)
    PatientInvitation.objects.filter(pk=row.pk).update(used_at=None, revoked_at=None, expires_at=until)
    return Filled(ids={"pk": row.pk})


CONFIGURATION = {
    "authorization_endpoint": "https://login.example.org/authorize",
    "token_endpoint": "https://login.example.org/token",
    "capabilities": ["launch-standalone", "client-public", "context-standalone-patient", "permission-patient"],
    "code_challenge_methods_supported": ["S256"],
    "grant_types_supported": ["authorization_code"],
}


def leaving(stage: Stage) -> Filled:
    """A patient goes on to the EMR, whose configuration is on file already."""
    link = patients_app(stage)
    registration = link.registration
    registration.client_id, registration.scopes = "ours", "launch/patient patient/*.rs offline_access"
    registration.redirect_uris = "http://testserver/emr/callback"
    registration.auth_method = registration.AuthMethod.NONE
    registration.save()
    Connection.objects.filter(pk=link.pk).update(
        state=Connection.State.ACTIVE, base_url="https://login.example.org/fhir/BBBBBB",
        smart_configuration=CONFIGURATION, discovered_at=soon(datetime.timedelta()),
    )  # fmt: skip
    link.refresh_from_db()
    _, token = patients_invitations.invite(
        stage.practice, link, None, given="Ann", family="Weaver", birth_date=datetime.date(1980, 2, 3)
    )
    return Filled({"token": token})


CONSENTS = [
    Act(f"{PRACTICE}consents/invite/", ("invite B -",), inviting),
    Act("sources/<uuid:pk>/consent/", ("invite B -",), inviting_known),
    Act("consents/<uuid:pk>/decide/", ("consent B -",), of_grant(Grant.State.HELD, do="reject"), named="reject"),
    Act("consents/<uuid:pk>/decide/", ("consent B -",), of_grant(Grant.State.HELD, do="accept"), named="accept"),
    Act("consents/<uuid:pk>/disconnect/", ("consent B -",), of_grant(Grant.State.NEEDS_CONSENT)),
    Act("consents/<uuid:pk>/reconnect/", ("invite B -",), of_grant(Grant.State.NEEDS_CONSENT)),
    Act("patient-invitations/<uuid:pk>/withdraw/", ("invite B -",), withdrawing),
    Act("i/", ("launch B -",), leaving, NOBODY),
]  # fmt: skip


# --- people ---


def colleague(stage: Stage) -> Membership:
    return member("colleague@example.org", stage.practice, Membership.Role.STAFF).memberships.get()


def of_member(**data: Any) -> Any:
    return lambda stage: Filled(data | {"member": str(colleague(stage).pk)})


def invited(stage: Stage, email: str = "new@example.org") -> tuple[Invitation, str]:
    row = Invitation(practice=stage.practice, email=email, role="staff")
    return row, members_invitations.issue(row, by=stage.person(ADMIN))


def of_invitation(**data: Any) -> Any:
    return lambda stage: Filled(data | {"invitation": str(invited(stage)[0].pk)})


def glass(stage: Stage, role: str) -> BreakGlass:
    until = soon(BreakGlass.LIFE)
    person = stage.person(role)
    return BreakGlass.objects.create(user=person, practice=stage.practice, reason=REASON, expires_at=until)


def closing(stage: Stage) -> Filled:
    glass(stage, ADMIN)
    return Filled()


def reviewing(stage: Stage) -> Filled:
    return Filled(ids={"pk": glass(stage, ADMIN).pk})


def joining(stage: Stage) -> Filled:
    """Somebody who has an account already, elsewhere."""
    person = stage.person(CLINICIAN)
    Membership.objects.filter(user=person).delete()
    stage.client(CLINICIAN)  # signed in after that: the removal ended all sessions
    return Filled(ids={"token": invited(stage, person.email)[1]})


def signing_up(stage: Stage) -> Filled:
    return Filled(ids={"token": invited(stage)[1]})


PEOPLE = [
    Act(f"{PRACTICE}switch/", (), because="the choice lies in the session; each page opened there is an event itself"),
    Act("session/", (), because="starts the idle clock anew, as any page does"),
    Act(f"{PRACTICE}members/", ("membership B -",),
        lambda stage: Filled({"do": "invite", "practice": str(stage.practice.pk), "email": "new@example.org",
                              "role": "staff"}), ADMIN, "invite"),
    Act(f"{PRACTICE}members/", ("membership B -",), of_invitation(do="again"), ADMIN, "again"),
    Act(f"{PRACTICE}members/", ("membership B -",), of_invitation(do="withdraw"), ADMIN, "withdraw"),
    Act(f"{PRACTICE}members/", ("membership B -", "sessions B -"), of_member(do="role", role="clinician"), ADMIN,
        "role"),
    Act(f"{PRACTICE}members/", ("membership B -", "sessions B -"), of_member(do="remove"), ADMIN, "remove"),
    Act(f"{PRACTICE}break-glass/", ("break-glass B -",), sends(reason=REASON), ADMIN),
    Act(f"{PRACTICE}break-glass/close/", ("break-glass B -",), closing, ADMIN),
    Act(f"{PRACTICE}break-glass/<uuid:pk>/reviewed/", ("break-glass B -",), reviewing, OFFICER),
    Act(f"{PRACTICE}audit/export/", ("read-audit B -",), who=OFFICER),
    Act(f"{PRACTICE}audit/patients/", ("read-audit B -",), sends(q="canary"), OFFICER),
    Act("invitations/<str:token>/", ("membership B -",), joining, named="join"),
    Act("invitations/<str:token>/", (), signing_up, NOBODY, "sign-up",
        because="opens the form of a new account; the sign-up that follows leaves the rows"),
]  # fmt: skip

ACTS = [*CHARTS, *CONNECTION, *CONSENTS, *PEOPLE]
