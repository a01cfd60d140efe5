"""Where a demo lives: its folder, its own secrets, its ports, and the environment its processes get."""

import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from headachemd.demo import totp

ROOT = Path(__file__).resolve().parent.parent.parent
WEB_PORT, SANDBOX_PORT = 8000, 8321


@dataclass(frozen=True)
class Charts:
    """What the sandbox serves: so many generated charts, or a folder's; and how slowly."""

    patients: int
    data: str = ""
    latency_ms: int = 0


@dataclass(frozen=True)
class Place:
    folder: Path
    web_port: int
    sandbox_port: int
    secret_key: str
    field_key: str
    password: str
    totp_secret: str
    database_url: str = ""
    redis_url: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Everything our settings read, so that neither a .env nor the caller's environment gets in between."""
        return {
            "DJANGO_SETTINGS_MODULE": "headachemd.settings",
            "HEADACHEMD_MODE": "embedded",
            "SECRET_KEY": self.secret_key,
            "FIELD_KEYS": self.field_key,
            "PUBLIC_URL": self.address,
            "VAR_DIR": str(self.folder),
            "DATABASE_URL": self.database_url or f"sqlite:///{self.folder}/headachemd.sqlite3",
            "REDIS_URL": self.redis_url,
            "INSECURE_FHIR_HOSTS": f"127.0.0.1:{self.sandbox_port}",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "DEBUG": "off",
            "EMAIL_URL": "consolemail://",
            "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1",
        }


def prepare(
    folder: Path, *, any_port: bool = False, database_url: str = "", redis_url: str = ""
) -> tuple[Place, list[str]]:
    """The place in `folder`, made on the first visit; and what to tell about ports that others have taken.

    With `database_url` or `redis_url` the demo runs on those servers instead of the embedded default.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    memory = folder / "demo.json"
    kept = json.loads(memory.read_text()) if memory.exists() else {}
    said: list[str] = []
    place = Place(
        folder=folder,
        web_port=_port(0 if any_port else kept.get("web_port", WEB_PORT), "the web server", said),
        sandbox_port=_port(0 if any_port else kept.get("sandbox_port", SANDBOX_PORT), "the sandbox", said),
        secret_key=kept.get("secret_key") or secrets.token_urlsafe(48),
        field_key=kept.get("field_key") or Fernet.generate_key().decode(),
        password=kept.get("password") or "-".join(secrets.token_hex(2) for _ in range(4)),
        totp_secret=kept.get("totp_secret") or totp.new_secret(),
        database_url=database_url,
        redis_url=redis_url,
    )
    kept_names = ("web_port", "sandbox_port", "secret_key", "field_key", "password", "totp_secret")
    remember = {name: getattr(place, name) for name in kept_names}
    memory.touch(mode=0o600)
    memory.write_text(json.dumps(remember, indent=1))
    return place, said


def totp_secret(folder: Path) -> str | None:
    """The authenticator secret of the demo's people; None where no demo has run yet."""
    memory = folder / "demo.json"
    return json.loads(memory.read_text()).get("totp_secret") if memory.exists() else None


def _port(wanted: int, purpose: str, said: list[str]) -> int:
    if wanted and _is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    if wanted:
        said.append(f"Port {wanted} is taken; {purpose} uses {found}.")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a port whose last connections are only winding down counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
