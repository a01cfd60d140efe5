from importlib import import_module

from django.apps import AppConfig


class EmrConfig(AppConfig):
    name = "emr"
    verbose_name = "EMR connections"

    def ready(self) -> None:
        import_module("emr.migrating")
        import_module("emr.receivers")  # they need the models, which are not there yet above
