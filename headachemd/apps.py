from django.apps import AppConfig

from headachemd.celery import app as celery_app

__all__ = ["HeadacheMDConfig", "celery_app"]


class HeadacheMDConfig(AppConfig):
    """Importing the Celery application here makes it the one `send_task` and `shared_task` use, in every process."""

    name = "headachemd"
