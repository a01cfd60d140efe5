"""Settings: a missing or bad variable is named in one sentence, without its value or any other secret."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent
CANARY = "Zyxwsecret"  # stands in every value that may hold a secret

GOOD = {
    "SECRET_KEY": CANARY + secrets.token_urlsafe(48),
    "FIELD_KEYS": Fernet.generate_key().decode(),
    "PUBLIC_URL": "https://app.example.org",
    "ALLOWED_HOSTS": "app.example.org",
    "DATABASE_URL": f"postgres://u:{CANARY}@127.0.0.1:5432/d",
    "REDIS_URL": f"redis://:{CANARY}@127.0.0.1:6379/0",
    "HEADACHEMD_MODE": "production",
}
# Set, if only to nothing: a developer's .env must not get in between.
FIXED = {
    "DEBUG": "off",
    "LOG_LEVEL": "INFO",
    "EMAIL_URL": f"smtp://u:{CANARY}@mail.example.org:25",
    "INSECURE_FHIR_HOSTS": "",
    "SECRET_KEY_FALLBACKS": "",
    "CSRF_TRUSTED_ORIGINS": "",
    "SECURE_SSL_REDIRECT": "on",
    "BEHIND_TLS_PROXY": "off",
    "SESSION_IDLE_MINUTES": "15",
    "SESSION_HOURS": "12",
    "TRUSTED_PROXY_COUNT": "0",
    "TICK_SECONDS": "10",
    "LEASE_SECONDS": "30",
}
START = ("-c", "from django.conf import settings; settings.DATABASES; print('started')")


def start(tmp_path: Path, *command: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """A process of the program with these settings; None: the variable is empty."""
    env = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}}
    wanted: dict[str, str | None] = {**GOOD, **FIXED, "VAR_DIR": str(tmp_path), **changes}
    env |= {name: value or "" for name, value in wanted.items()}
    env["DJANGO_SETTINGS_MODULE"] = "headachemd.settings"
    command = command or START
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True)


def test_good_production_settings_start(tmp_path: Path) -> None:
    assert start(tmp_path).stdout.strip() == "started"


def test_good_production_settings_pass_djangos_deployment_check(tmp_path: Path) -> None:
    result = start(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


COOKIES = """
from django.conf import settings
for name in ("SESSION", "CSRF"):
    print(getattr(settings, name + "_COOKIE_NAME").startswith("__Host-"), getattr(settings, name + "_COOKIE_SECURE"))
    print(getattr(settings, name + "_COOKIE_HTTPONLY"), getattr(settings, name + "_COOKIE_SAMESITE") == "Lax")
    print(getattr(settings, name + "_COOKIE_PATH") == "/", getattr(settings, name + "_COOKIE_DOMAIN") is None)
print(settings.SECURE_HSTS_SECONDS >= 31_536_000, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_SSL_REDIRECT)
"""


def test_production_cookies_are_of_this_host_and_secure(tmp_path: Path) -> None:
    """What the prefix asks for (RFC 6265bis 4.1.3.2): secure, path /, no domain."""
    told = start(tmp_path, "-c", COOKIES).stdout.split()
    assert told == ["True"] * 15


NOTICE = """
import django; django.setup()
from django.contrib import messages
from django.contrib.messages.storage import default_storage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpResponse
from django.test import RequestFactory
said, read = RequestFactory().get("/"), RequestFactory().get("/")
for request in (said, read):
    request.session, answer = SessionStore(), HttpResponse()
    request._messages = default_storage(request)
    if request is said:
        messages.info(request, "Once")
    else:
        [*request._messages]
    request._messages.update(answer)
    for cookie in answer.cookies.values():
        print(cookie.output(header=""))
        read.COOKIES[cookie.key] = cookie.value
"""


def test_what_is_said_once_waits_in_such_a_cookie_too(tmp_path: Path) -> None:
    """Written, and taken back when it was read."""
    written, taken_back = start(tmp_path, "-c", NOTICE).stdout.strip().splitlines()
    for cookie in (written, taken_back):
        assert cookie.strip().startswith("__Host-messages=")
        assert {"Path=/", "Secure", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    assert "HttpOnly" in written
    assert "Max-Age=0" in taken_back


SHORT = f"{CANARY}short"
UNFIT = [
    ("no SECRET_KEY", "SECRET_KEY", None),
    ("a short one", "SECRET_KEY", SHORT),
    ("Django's example", "SECRET_KEY", f"django-insecure-{CANARY}{secrets.token_urlsafe(48)}"),
    ("one of few characters", "SECRET_KEY", "abc" * 30),
    ("a short former one", "SECRET_KEY_FALLBACKS", SHORT),
    ("a short one among former ones", "SECRET_KEY_FALLBACKS", f"{secrets.token_urlsafe(48)},{SHORT}"),
    ("no FIELD_KEYS", "FIELD_KEYS", None),
    ("no Fernet key", "FIELD_KEYS", SHORT),
    ("no Fernet key among others", "FIELD_KEYS", f"{GOOD['FIELD_KEYS']},{SHORT}"),
    ("no PUBLIC_URL", "PUBLIC_URL", None),
    ("without TLS", "PUBLIC_URL", "http://app.example.org"),
    ("at another host", "PUBLIC_URL", "https://elsewhere.example.net"),
    ("no ALLOWED_HOSTS", "ALLOWED_HOSTS", None),
    ("every host", "ALLOWED_HOSTS", "*"),
    ("every host among others", "ALLOWED_HOSTS", "app.example.org,*"),
    ("every host of a domain", "ALLOWED_HOSTS", "app.example.org,.example.org"),
    ("another site's forms without TLS", "CSRF_TRUSTED_ORIGINS", "http://app.example.org"),
    ("no DATABASE_URL", "DATABASE_URL", None),
    ("SQLite", "DATABASE_URL", "sqlite:///db.sqlite3"),
    ("an address of no database", "DATABASE_URL", f"https://u:{CANARY}@127.0.0.1/d"),
    ("a port that is none", "DATABASE_URL", f"postgres://u:p@127.0.0.1:{CANARY}/d"),
    ("no REDIS_URL", "REDIS_URL", None),
    ("a broker in memory", "REDIS_URL", "memory://"),
    ("a broker in a folder", "REDIS_URL", f"filesystem://{CANARY}"),
    ("DEBUG", "DEBUG", "on"),
    ("no such mode", "HEADACHEMD_MODE", "toy"),
    ("a host spoken to in clear", "INSECURE_FHIR_HOSTS", "127.0.0.1:8321"),
    ("logs that print addresses", "LOG_LEVEL", "DEBUG"),
    ("mail to the terminal", "EMAIL_URL", "consolemail://"),
    ("mail to nowhere", "EMAIL_URL", f"{CANARY}://u:p@mail.example.org"),
    ("a mail server's port that is none", "EMAIL_URL", f"smtp://u:p@mail.example.org:{CANARY}"),
    ("no way to https", "SECURE_SSL_REDIRECT", "off"),
    ("sessions left open", "SESSION_IDLE_MINUTES", "600"),
    ("sessions without an idle time", "SESSION_IDLE_MINUTES", "0"),
    ("an idle time that is none", "SESSION_IDLE_MINUTES", CANARY),
    ("sessions for days", "SESSION_HOURS", "48"),
    ("fewer proxies than none", "TRUSTED_PROXY_COUNT", "-1"),
    ("beats that are none", "TICK_SECONDS", "0"),
    ("leases that are none", "LEASE_SECONDS", CANARY),
]


@pytest.mark.parametrize(("name", "value"), [pytest.param(*row[1:], id=f"{row[1]}: {row[0]}") for row in UNFIT])
def test_production_refuses_and_names_the_variable(tmp_path: Path, name: str, value: str | None) -> None:
    result = start(tmp_path, **{name: value})
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"django.core.exceptions.ImproperlyConfigured: {name} ")
    printed = result.stdout + result.stderr
    assert CANARY not in printed
    if value is not None and len(value) > 12:
        assert value not in printed
    for secret in (GOOD["SECRET_KEY"], GOOD["FIELD_KEYS"]):
        assert secret not in printed


def test_a_dozen_variables_are_watched() -> None:
    assert len({name for _, name, _ in UNFIT}) >= 12


def test_tls_may_be_ended_by_a_proxy(tmp_path: Path) -> None:
    assert start(tmp_path, SECURE_SSL_REDIRECT="off", BEHIND_TLS_PROXY="on").stdout.strip() == "started"


def test_embedded_needs_neither_redis_nor_postgresql(tmp_path: Path) -> None:
    changes = {"HEADACHEMD_MODE": "embedded", "DATABASE_URL": f"sqlite:///{tmp_path}/d", "REDIS_URL": None}
    assert start(tmp_path, **changes, PUBLIC_URL="http://127.0.0.1:8000").stdout.strip() == "started"
