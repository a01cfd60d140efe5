from importlib import import_module

from django.apps import AppConfig


class PatientsConfig(AppConfig):
    name = "patients"
    verbose_name = "Headache histories"

    def ready(self) -> None:
        import_module("patients.receivers")  # connects them; models can only be imported from here on
