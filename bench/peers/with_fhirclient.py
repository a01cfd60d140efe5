"""fhirclient: its own searches, every resource read into its models, which check types and cardinalities."""

from fhirclient import client, server
from fhirclient.models import allergyintolerance, condition, diagnosticreport, medicationrequest, observation, patient
from task import Task, run

MODELS = (
    condition.Condition,
    medicationrequest.MedicationRequest,
    observation.Observation,
    diagnosticreport.DiagnosticReport,
    allergyintolerance.AllergyIntolerance,
)


def pull(task: Task) -> int:
    smart = client.FHIRClient(settings={"app_id": "bench", "api_base": task.base})
    smart.server.auth = server.FHIRAuth.create("none")
    smart.server.session.headers["Authorization"] = f"Bearer {task.bearer}"
    smart.server.session.trust_env = False
    found = 0
    for fhir_id in task.patients:
        found += patient.Patient.read(fhir_id, smart.server).id == fhir_id
        for model in MODELS:
            search = model.where(struct={"patient": fhir_id, "_count": "200"})
            found += sum(1 for _ in search.perform_resources_iter(smart.server))
    return found


if __name__ == "__main__":
    run(pull)
