"""All settings, from the environment (see .env.example).

Two modes. `production` (the default) refuses to start on anything that is only fit for trying the product;
`embedded` needs nothing but Python: SQLite, a broker in a folder, cache and call budget in the database.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from headachemd import broker

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")


def required(name: str, hint: str) -> str:
    # Not env.str: it takes a value that starts with "$" for the name of another variable.
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set: {hint} (see .env.example, or run `make demo`).")
    return value


def refuse(name: str, why: str) -> None:
    raise ImproperlyConfigured(f"{name} {why}.")


def understood(name: str, read: Callable[..., Any], default: Any) -> Any:
    """What `read` makes of the variable. The words of its own error quote the value, and are not told."""
    try:
        return read(name, default=default)
    except (ValueError, KeyError, ImproperlyConfigured):
        pass
    raise ImproperlyConfigured(f"{name} cannot be understood: see .env.example for how it is written.")


def whole_number(name: str, default: int, least: int, most: int) -> int:
    number: int = understood(name, env.int, default)
    if not least <= number <= most:
        refuse(name, f"must be a whole number from {least} to {most}")
    return number


MODE = env.str("HEADACHEMD_MODE", default="production")
if MODE not in {"production", "embedded"}:
    refuse("HEADACHEMD_MODE", "must be production or embedded")
EMBEDDED = MODE == "embedded"

# --- secrets -------------------------------------------------------------------------------------------
SECRET_KEY = required("SECRET_KEY", "set it to 50 or more random characters")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
if len(SECRET_KEY) < 50 or SECRET_KEY.startswith("django-insecure"):
    refuse("SECRET_KEY", "must be 50 or more random characters")
required("FIELD_KEYS", "set it to one or more comma-separated Fernet keys, newest first")
FIELD_KEYS: list[str] = env.list("FIELD_KEYS")
try:
    [Fernet(key) for key in FIELD_KEYS]
except ValueError:
    refuse("FIELD_KEYS", "holds something that is not a Fernet key (32 bytes, url-safe base64)")

# --- where we are --------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"] if EMBEDDED else [])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# The address vendors and patients reach us at; our JWKS URLs are built on it.
PUBLIC_URL = required("PUBLIC_URL", "set it to this site's own address, such as https://app.example.org").rstrip("/")
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var")))
# Exact host:port pairs that may be spoken to over plain http on a private address: the sandbox, never an EMR.
INSECURE_FHIR_HOSTS = frozenset(env.list("INSECURE_FHIR_HOSTS", default=[]))

DATABASES = {
    "default": understood("DATABASE_URL", env.db, f"sqlite:///{VAR_DIR}/headachemd.sqlite3" if EMBEDDED else "")
}
REDIS_URL = env.str("REDIS_URL", default="")
if not EMBEDDED:
    if DEBUG:
        refuse("DEBUG", "must be off in production")
    if len(set(SECRET_KEY)) < 10:
        refuse("SECRET_KEY", "must be random: it consists of a few characters only")
    if any(len(key) < 50 for key in SECRET_KEY_FALLBACKS):
        refuse("SECRET_KEY_FALLBACKS", "must hold former SECRET_KEYs of 50 or more characters")
    if not ALLOWED_HOSTS or any(host == "*" or host.startswith(".") for host in ALLOWED_HOSTS):
        refuse("ALLOWED_HOSTS", "must name this site's hosts, without a wildcard")
    if not REDIS_URL:
        refuse("REDIS_URL", "is not set: production needs Redis as broker, cache and call budget")
    if not REDIS_URL.startswith(("redis://", "rediss://")):
        refuse("REDIS_URL", "must start with redis:// or rediss://")
    if "postgresql" not in DATABASES["default"].get("ENGINE", ""):
        refuse("DATABASE_URL", "must be a postgres:// URL in production")
    if not PUBLIC_URL.startswith("https://"):
        refuse("PUBLIC_URL", "must start with https:// in production")
    if urlsplit(PUBLIC_URL).hostname not in ALLOWED_HOSTS:
        refuse("PUBLIC_URL", "must be at one of ALLOWED_HOSTS")
    if not all(origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS):
        refuse("CSRF_TRUSTED_ORIGINS", "must hold https:// origins only")
    if INSECURE_FHIR_HOSTS:
        refuse("INSECURE_FHIR_HOSTS", "must be empty in production")
    if env.str("LOG_LEVEL", default="INFO").upper() not in {"INFO", "WARNING", "ERROR"}:
        refuse("LOG_LEVEL", "must be INFO, WARNING or ERROR in production: more would print addresses of requests")
    if env.str("EMAIL_URL", default="").startswith(("consolemail:", "dummymail:", "memorymail:", "filemail:")):
        refuse("EMAIL_URL", "must be a mail server in production: links to accounts are sent by it")
    if not env.bool("SECURE_SSL_REDIRECT", default=True) and not env.bool("BEHIND_TLS_PROXY", default=False):
        refuse("SECURE_SSL_REDIRECT", "may be off only behind a proxy that ends TLS (BEHIND_TLS_PROXY=on)")

if "sqlite" in DATABASES["default"]["ENGINE"]:
    # IMMEDIATE takes the write lock at BEGIN, so two writers wait for each other instead of one dying half-way.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
else:
    # Not locmem: login rate limits must be shared by the web processes.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cache",
            # By default 300, then a third is thrown out: what an attacker could use to make limits and codes forgotten.
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }

# --- applications --------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "headachemd",
    "emr",
    "patients",
]
MIDDLEWARE = [
    "headachemd.headers.security_headers",
    "headachemd.bodies.limited_bodies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "emr.accounts.sessions.SessionLimits",
    "emr.accounts.second_factor.SecondFactorRequired",
]
ROOT_URLCONF = "headachemd.urls"
WSGI_APPLICATION = "headachemd.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- accounts ------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "emr.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_ADAPTER = "emr.accounts.sign_in.StaffAccounts"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_FORMS = {"signup": "emr.forms.InvitedSignup", "login": "emr.forms.SignIn"}
ACCOUNT_EMAIL_VERIFICATION = "none"  # the invitation link, sent to that address, is the verification
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = False  # clinics share computers
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True  # the owner learns of a changed password or second factor
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600  # seconds a confirmation (or the sign-in) is good for
# Shared by all web processes, through the cache: 5 wrong passwords an account in 5 minutes, 10 an address in a minute.
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/5m/key"}
MFA_ADAPTER = "emr.accounts.second_factor.SealedSecrets"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "add_webauthn": "emr.forms.NewPasskey",
    "authenticate": "emr.forms.SignInCode",
    "reauthenticate": "emr.forms.ConfirmingCode",
    "activate_totp": "emr.forms.FirstCode",
}
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_TOLERANCE = 1  # a phone's clock is off, and people type slowly; no code is taken twice
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = False
USERSESSIONS_ADAPTER = "emr.accounts.sessions.AuditedSessions"
# Both limits are held by the server (emr.accounts.sessions); the browser warns so long before the idle one.
SESSION_IDLE_SECONDS = 60 * whole_number("SESSION_IDLE_MINUTES", 15, 1, 60)
SESSION_WARN_SECONDS = 120
SESSION_ABSOLUTE_SECONDS = 3600 * whole_number("SESSION_HOURS", 12, 1, 24)
ALLAUTH_TRUSTED_PROXY_COUNT = whole_number("TRUSTED_PROXY_COUNT", 0, 0, 10)
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
# The page an EHR launch ends on: a route that takes the id of an enrolment.
LAUNCH_LANDING = "patients:arrive"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
EMAIL_CONFIG = understood("EMAIL_URL", env.email, "consolemail://" if EMBEDDED else "smtp://127.0.0.1:25")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10  # a mail server that hangs must not hold a web worker
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="HeadacheMD <no-reply@localhost>")

# --- cookies and transport -----------------------------------------------------------------------------
HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "headachemd_session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "headachemd_csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"  # Strict would drop the session on an OAuth callback
SESSION_COOKIE_AGE = SESSION_ABSOLUTE_SECONDS
MESSAGE_STORAGE = "headachemd.notices.Notices"  # Django's own cookie has no such prefix
SECURE_SSL_REDIRECT = HTTPS and env.bool("SECURE_SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# Not no-referrer: browsers then send "Origin: null" with every form, which the CSRF check must refuse.
SECURE_REFERRER_POLICY = "same-origin"
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"

# --- what a request may bring ---------------------------------------------------------------------------
# The largest is a list of patients (emr.csv_lists.MOST_BYTES), which its preview sends back as a form field: a byte of
# the file is at most three of the field. The rest is room, so that a file twice too large is told so by its form.
MOST_BODY_BYTES = 8_000_000
DATA_UPLOAD_MAX_MEMORY_SIZE = 4_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000  # the longest page of the admin with every row ticked has a few hundred
DATA_UPLOAD_MAX_NUMBER_FILES = 1
# In memory alone: a list of patients must not lie in a temporary file.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = MOST_BODY_BYTES

# --- texts, times, files -------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
# Patients' pages speak the patient's language (emr.views_launches); staff pages are in English.
LANGUAGES = [("en", "English"), ("es", "Español")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if EMBEDDED
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = EMBEDDED

# --- work ----------------------------------------------------------------------------------------------
CELERY = broker.celery_settings(redis_url=REDIS_URL, queue_dir=VAR_DIR / "queue", embedded=EMBEDDED)
# Seconds between beats of the dispatcher, and how long a worker owns an item before another may take it over.
TICK_SECONDS = whole_number("TICK_SECONDS", 2 if EMBEDDED else 10, 1, 60)
LEASE_SECONDS = whole_number("LEASE_SECONDS", 30, 1, 600)

# Where the ends of the audit chains are kept beside the database: another volume, or a mount that only takes appends.
AUDIT_HEADS_FILE = Path(env.str("AUDIT_HEADS_FILE", default=str(VAR_DIR / "audit-heads.jsonl")))

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": f"headachemd.logs.{'PlainLines' if EMBEDDED else 'JsonLines'}"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Django's own handlers would print, and mail, whole requests. urllib3 prints whole URLs at DEBUG.
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        "urllib3": {"level": "WARNING"},
        "celery.redirected": {"level": "WARNING"},
    },
}
