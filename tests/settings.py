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
