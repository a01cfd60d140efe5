"""The product's own settings, fed with keys made for this run."""

import os
import secrets
import tempfile

from cryptography.fernet import Fernet

os.environ["HEADACHEMD_MODE"] = "embedded"
os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
os.environ.setdefault("FIELD_KEYS", Fernet.generate_key().decode())
os.environ.setdefault("PUBLIC_URL", "http://testserver")
os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="headachemd-tests-"))

from headachemd.settings import *  # noqa: F403

ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # speed; the product's hasher has its own test
if "sqlite" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    # A file, as the product has: in memory all threads share one connection, and what a live server does while the
    # test works meets "table is locked".
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "tests.sqlite3")}  # noqa: F405
