"""Celery's settings for the two brokers. The database is the queue of record: a message is only a hint."""

from pathlib import Path
from typing import Any

from celery import Celery


def celery_settings(*, redis_url: str, queue_dir: Path, embedded: bool) -> dict[str, Any]:
    """Settings for Redis, or for a folder of messages where there is no Redis (embedded, one solo worker)."""
    return {
        "broker_url": redis_url or "filesystem://localhost//",
        "broker_transport_options": _redis_options() if redis_url else _folder_options(queue_dir),
        "broker_connection_retry_on_startup": True,
        "broker_pool_limit": 4,
        # A dead result backend would make each .delay() wait 19 s, and results would be patient data at rest.
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 200,
        "worker_hijack_root_logger": False,
        # Shorter than visibility_timeout, or Redis would hand a running task to a second worker.
        "task_time_limit": 600,
        "task_soft_time_limit": 540,
        # Not tried again: the row stays queued and the next tick publishes it.
        "task_publish_retry_policy": {
            "max_retries": 0,
            "interval_start": 0,
            "interval_step": 0.1,
            "interval_max": 0.1,
        },
        "timezone": "UTC",
        "enable_utc": True,
        "worker_send_task_events": False,
        "event_queue_exclusive": True,
        "worker_pool": "solo" if embedded and not redis_url else "prefork",
    }


def for_publishers(app: Celery) -> None:
    """In processes that only publish (the web's): somebody waits for the page, and a broker that hangs costs it a
    second. Workers need longer: they block on the queue for a second at a time (brpop)."""
    if app.conf.broker_url.startswith(("redis://", "rediss://")):
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, "socket_timeout": 0.5}


def _redis_options() -> dict[str, Any]:
    return {
        "visibility_timeout": 900,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 1,
        "socket_timeout": 5,
        "socket_keepalive": True,
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    }


def _folder_options(queue_dir: Path) -> dict[str, Any]:
    for name in ("messages", "control"):
        (queue_dir / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "data_folder_in": str(queue_dir / "messages"),
        "data_folder_out": str(queue_dir / "messages"),
        "control_folder": str(queue_dir / "control"),
        "store_processed": False,
        "polling_interval": 0.1,
    }
