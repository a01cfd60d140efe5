"""The address of a patient's invitation. It holds the token and nothing else."""

from django.conf import settings
from django.urls import reverse


def address_of(token: str) -> str:
    """What is shown once, and drawn as a QR code."""
    return settings.PUBLIC_URL + reverse("emr:launch-invited", args=[token])
