"""Settings: a missing or bad variable is named in one sentence, without its value."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent

GOOD = {
    "SECRET_KEY": "s" * 30 + "K" * 30,
    "FIELD_KEYS": Fernet.generate_key().decode(),
    "PUBLIC_URL": "https://app.example.org",
    "ALLOWED_HOSTS": "app.example.org",
    "DATABASE_URL": "postgres://u:p@127.0.0.1:5432/d",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "HEADACHEMD_MODE": "production",
}


def start(tmp_path: Path, **changes: str | None) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}}
    # Set, if only to nothing: a developer's .env must not get in between.
    names = [*GOOD, "DEBUG", "INSECURE_FHIR_HOSTS", "SECRET_KEY_FALLBACKS", "CSRF_TRUSTED_ORIGINS"]
    fixed = {"VAR_DIR": str(tmp_path), "DEBUG": "off", "LOG_LEVEL": "INFO", "EMAIL_URL": "smtp://mail.example.org:25"}
    wanted = dict.fromkeys(names, "") | GOOD | fixed
    env |= {name: value or "" for name, value in (wanted | changes).items()}
    code = "from django.conf import settings; settings.DATABASES; print('started')"
    env["DJANGO_SETTINGS_MODULE"] = "headachemd.settings"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)


def test_good_production_settings_start(tmp_path: Path) -> None:
    assert start(tmp_path).stdout.strip() == "started"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", None),
        ("SECRET_KEY", "tooshort"),
        ("FIELD_KEYS", None),
        ("FIELD_KEYS", "not-a-key"),
        ("PUBLIC_URL", None),
        ("PUBLIC_URL", "http://app.example.org"),
        ("ALLOWED_HOSTS", None),
        ("ALLOWED_HOSTS", "*"),
        ("DATABASE_URL", None),
        ("DATABASE_URL", "sqlite:///db.sqlite3"),
        ("REDIS_URL", None),
        ("DEBUG", "on"),
        ("HEADACHEMD_MODE", "toy"),
        ("INSECURE_FHIR_HOSTS", "127.0.0.1:8321"),
        ("SECRET_KEY_FALLBACKS", "tooshort"),
        ("ALLOWED_HOSTS", ".example.org"),
        ("PUBLIC_URL", "https://elsewhere.example.net"),
        ("CSRF_TRUSTED_ORIGINS", "http://app.example.org"),
        ("LOG_LEVEL", "DEBUG"),
        ("EMAIL_URL", "consolemail://"),
        ("SECURE_SSL_REDIRECT", "off"),
    ],
)
def test_production_refuses_and_names_the_variable(tmp_path: Path, name: str, value: str | None) -> None:
    result = start(tmp_path, **{name: value})
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert name in last
    if value and name in {"SECRET_KEY", "FIELD_KEYS"}:
        assert value not in last


def test_embedded_needs_neither_redis_nor_postgresql(tmp_path: Path) -> None:
    changes = {"HEADACHEMD_MODE": "embedded", "DATABASE_URL": f"sqlite:///{tmp_path}/d", "REDIS_URL": None}
    assert start(tmp_path, **changes, PUBLIC_URL="http://127.0.0.1:8000").stdout.strip() == "started"
