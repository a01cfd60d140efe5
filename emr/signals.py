"""What the connection tells the rest of the product."""

from django.dispatch import Signal

# Sent after commit, with practice_id (UUID) and patient_fhir_id, when a patient's resources were pulled; sent again
# if the worker dies before all receivers have returned. Receivers must therefore be repeatable.
patient_pulled = Signal()

# Sent after commit, with practice_id (UUID) and patient_fhir_ids (list, a few hundred at most), when lists over all
# patients confirmed what is on file of these. Nothing of them changed but how fresh it is.
patients_confirmed = Signal()

# Sent, with practice_id and patient_fhir_id, when staff opened a patient's history, inside the page's transaction.
history_opened = Signal()
