"""What the connection tells the rest of the product."""

from django.dispatch import Signal

# Sent after commit, with practice_id (UUID) and patient_fhir_id, when a patient's resources were pulled; sent again
# if the worker dies before all receivers have returned. Receivers must therefore be repeatable.
patient_pulled = Signal()
