"""From stored FHIR resources to Patient and Entry rows. The clinical rules are in patients.headaches."""

from patients.projection.rebuild import Changes, rebuild

__all__ = ["Changes", "rebuild"]
