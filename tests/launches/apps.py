"""How our apps are registered at the sandbox's portal. Needs no Django: the bench imports it, too."""

SITE = "https://app.example.org"
REDIRECT = f"{SITE}/emr/callback"
BROWSER = "browser-" + "b" * 40
TYPES = ("Patient", "AllergyIntolerance", "Condition", "Encounter", "MedicationRequest", "Observation")
PATIENT_SCOPES = " ".join(
    ["openid", "fhirUser", "offline_access", "launch/patient", *(f"patient/{kind}.read" for kind in TYPES)]
)
PROVIDER_SCOPES = " ".join(["openid", "fhirUser", "launch", *(f"user/{kind}.rs" for kind in TYPES)])
