"""The Celery application: workers run `emr.tasks`, beat sends a tick; messages hold row ids only."""

import gc
import os
from typing import Any

from celery import Celery, signals
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headachemd.settings")

app = Celery("headachemd")
app.config_from_object(settings.CELERY)
app.conf.beat_schedule = {
    "tick": {"task": "emr.tasks.tick", "schedule": settings.TICK_SECONDS, "options": {"expires": 60}},
    "advance-keys": {"task": "emr.tasks.advance_keys", "schedule": 300, "options": {"expires": 240}},
    # Daily is what an auditor asks for; hourly leaves less that could be made anew unnoticed.
    "write-audit-heads": {"task": "emr.tasks.write_audit_heads", "schedule": 3600, "options": {"expires": 3000}},
}
app.conf.beat_schedule_filename = str(settings.VAR_DIR / "beat")
app.autodiscover_tasks()


@signals.worker_init.connect
@signals.worker_process_init.connect
def collect_seldom(**_: Any) -> None:
    """A page's resources are many small objects that live for its transaction: Python's collector went through them
    again and again, for a tenth of a pull's time. What the imports made is never looked at again."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
