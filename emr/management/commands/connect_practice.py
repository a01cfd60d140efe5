import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import QuerySet
from django.forms import model_to_dict
from django.utils import timezone

from emr import doctor, fields, keys, profiles
from emr.connecting import base_urls, checklist, pem, reconnecting, scopes_advice
from emr.connecting.forms import ConfirmBox, ConnectionForm, RegistrationForm
from emr.models import ClientRegistration, Connection, Environment, Practice, SigningKey

# As the first integrations of this kind named them; an option wins over its variable.
VARIABLES = {
    "client_id": "ECLINICALWORKS_CLIENT_ID",
    "client_secret": "ECLINICALWORKS_CLIENT_SECRET",
    "base_url": "ECLINICALWORKS_FHIR_BASE_URL",
    "practice_code": "ECLINICALWORKS_PRACTICE_CODE",
    "private_key": "ECLINICALWORKS_PRIVATE_KEY",
}
AppType, AuthMethod = ClientRegistration.AppType, ClientRegistration.AuthMethod


class Command(BaseCommand):
    help = (
        "Practice, registration, signing key and connection in one go, from options or from "
        f"{', '.join(VARIABLES.values())}. Run again, it changes only what differs. Secrets come from the environment "
        "or from files, never from the command line, and are never printed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", help="the practice's FHIR base URL")
        parser.add_argument("--practice-code", help="six capital letters; else the end of the base URL")
        parser.add_argument("--practice-name", help="needed once, for a practice that is new here")
        parser.add_argument("--time-zone", default="America/New_York")
        parser.add_argument("--client-id")
        parser.add_argument("--client-secret-file", type=Path)
        parser.add_argument("--private-key-file", type=Path, help="one PEM block, unencrypted")
        parser.add_argument(
            "--unescape-key",
            action="store_true",
            help=r"the private key has line ends written as \n: put real ones",
        )
        parser.add_argument("--profile", default="ecw", choices=[key for key, _ in profiles.choices()])
        parser.add_argument("--environment", default="production", choices=Environment.values)
        parser.add_argument("--app-type", default="backend-single", choices=AppType.values)
        parser.add_argument("--auth-method", choices=AuthMethod.values)
        parser.add_argument("--algorithm", help="of client assertions; else the vendor's first")
        parser.add_argument("--portal", default="")
        parser.add_argument("--name", help="of the registration")
        parser.add_argument("--scopes", help="separated by blanks; else the vendor profile's")
        parser.add_argument("--redirect-uri", action="append", default=[], help="repeatable")
        parser.add_argument("--activation-code", default="")
        parser.add_argument("--group-id", default="")
        parser.add_argument("--confirm-address", action="store_true", help="save an address that looks doubtful")
        parser.add_argument("--confirm-portal", action="store_true", help="the portal shows the same scopes and URIs")
        parser.add_argument("--test", action="store_true", help="have a worker run the self-test")

    def handle(self, *args: object, **options: Any) -> None:
        given = {name: options.get(name) or os.environ.get(variable, "") for name, variable in VARIABLES.items()}
        given["client_secret"] = _file(options["client_secret_file"]) or given["client_secret"]
        given["private_key"] = _file(options["private_key_file"]) or given["private_key"]
        if not given["base_url"]:
            raise CommandError(f"There is no base URL: give --base-url or set {VARIABLES['base_url']}.")
        with transaction.atomic():
            practice = self._practice(given, options)
            registration = self._registration(given, options)
            if registration.auth_method == AuthMethod.PRIVATE_KEY_JWT:
                self._key(given["private_key"], registration, unescape=options["unescape_key"])
            connection = self._connection(practice, registration, given["base_url"], options)
            checklist.settle(connection)
            if options["test"]:
                doctor.request(connection)
        self._tell(connection)

    def _practice(self, given: dict[str, str], options: dict[str, Any]) -> Practice:
        code = given["practice_code"].strip() or base_urls.code_of(given["base_url"].strip())
        if not code:
            raise CommandError(f"There is no practice code: give --practice-code or set {VARIABLES['practice_code']}.")
        practice = Practice.objects.filter(code=code).first()
        if practice is not None:
            return practice
        if not options["practice_name"]:
            raise CommandError(f"The practice {code} is new here: give its name with --practice-name.")
        practice = Practice(code=code, name=options["practice_name"], time_zone=options["time_zone"])
        _clean(practice)
        practice.save()
        self.stdout.write(f"Practice added: {practice}.")
        return practice

    def _registration(self, given: dict[str, str], options: dict[str, Any]) -> ClientRegistration:
        where = {name: options[name] for name in ("environment", "app_type")} | {"vendor_profile": options["profile"]}
        found = _known(ClientRegistration.objects.filter(**where), given["client_id"].strip())
        registration = found or ClientRegistration(**where)
        if not given["client_id"].strip() and not registration.client_id:
            self.stdout.write(f"There is no client id yet: set {VARIABLES['client_id']} when the portal shows it.")
        form = RegistrationForm(self._registration_data(registration, given, options), instance=registration)
        _require(form)
        changed = form.changed_data
        registration = form.save()
        if options["confirm_portal"]:
            self._confirm(registration)
        told = "added" if found is None else f"changed: {', '.join(changed)}" if changed else "as it was"
        self.stdout.write(f"Registration {told}: {registration}.")
        for advice in scopes_advice.advise(registration.scopes.split(), registration.profile, registration.app_type):
            self.stdout.write(f"Warning: {advice.text}")
        return registration

    def _registration_data(
        self, registration: ClientRegistration, given: dict[str, str], options: dict[str, Any]
    ) -> dict[str, Any]:
        """The form's data: what is stored, with what was given on top."""
        data = model_to_dict(registration, fields=RegistrationForm.Meta.fields)
        data |= {name: data[name] or {} for name in ("extra_authorize_params", "extra_token_params")}
        data |= {f"data_use_{use}": answer for use, answer in registration.data_use.items()}
        profile = profiles.get(options["profile"])
        backend = registration.is_backend
        secret = given["client_secret"].strip()
        if secret and backend:
            self.stdout.write("The client secret was not stored: a backend app signs its requests and has none.")
        stored = None if registration._state.adding else registration.auth_method
        method = options["auth_method"] or stored or _method(backend, bool(secret))
        usual = registration.signing_algorithm if stored else profile.signing_algorithms[0]
        new = {
            "name": options["name"] or registration.name or f"{profile.name}, {AppType(registration.app_type).label}",
            "portal": options["portal"],
            "client_id": given["client_id"].strip(),
            "activation_code": options["activation_code"],
            "scopes": options["scopes"] or "",
            "redirect_uris": "\n".join(options["redirect_uri"]),
            "auth_method": method,
            "signing_algorithm": options["algorithm"] or usual,
            "new_client_secret": "" if backend or _is_stored(registration, secret) else secret,
        }
        as_text = {name: forms.JSONField().prepare_value(data[name]) for name in data if name.startswith("extra_")}
        return data | as_text | {name: value for name, value in new.items() if value}

    def _confirm(self, registration: ClientRegistration) -> None:
        if not registration.is_confirmed:
            registration.confirm(timezone.now())
            registration.save(update_fields=["confirmed_at", "confirmed_digest"])

    def _key(self, text: str, registration: ClientRegistration, *, unescape: bool) -> None:
        environment, algorithm = registration.environment, registration.signing_algorithm
        own = SigningKey.objects.filter(environment=environment, algorithm=algorithm)
        active = own.filter(state=SigningKey.State.ACTIVE).first()
        if not text.strip():
            if active is None:
                active = own.filter(state=SigningKey.State.NEXT).first() or keys.generate(
                    environment=environment, algorithm=algorithm
                )
                keys.activate(active)
                self.stdout.write(f"Signing key generated: {active}.")
            return
        if unescape:
            text = text.replace("\\r", "").replace("\\n", "\n")
            self.stdout.write(r"In the private key, \n was replaced by line ends, as asked.")
        self._import(text, registration, active)

    def _import(self, text: str, registration: ClientRegistration, active: SigningKey | None) -> None:
        environment, algorithm = registration.environment, registration.signing_algorithm
        try:
            private = pem.read_private_key(text, algorithm)
        except pem.BadPem as error:
            raise CommandError(f"The private key: {error}") from None
        kid = keys.thumbprint(keys.public_jwk(private.public_key()))
        known = SigningKey.objects.filter(kid=kid).first()
        if known is not None and (known.environment, known.algorithm) != (environment, algorithm):
            raise CommandError(f"The private key is here already: {known}. Each environment has keys of its own.")
        if known is not None:
            self.stdout.write(f"Signing key as it was: {known}.")
            return
        key = keys.store(private, environment=environment, algorithm=algorithm)
        if active is None:
            keys.activate(key)
        self.stdout.write(f"Signing key imported: {key}.")

    def _connection(
        self, practice: Practice, registration: ClientRegistration, base_url: str, options: dict[str, Any]
    ) -> Connection:
        found = Connection.objects.filter(practice=practice, registration=registration).first()
        data = {
            "practice": practice.pk,
            "registration": registration.pk,
            "base_url": base_url,
            "group_id": options["group_id"] or (found.group_id if found else ""),
            "confirmed_address": _as_kept(base_url, registration) if options["confirm_address"] else "",
        }
        before = (found.base_url, found.group_id) if found else None  # the form writes to `found`
        form = ConnectionForm(data, instance=found)
        _require(form, "Give --confirm-address if the vendor's portal shows this address.")
        connection = form.save(commit=False)
        if before and before[0] != connection.base_url:
            reconnecting.forget_server(connection)
        connection.save()
        same = before == (connection.base_url, connection.group_id)
        told = "added" if before is None else "as it was" if same else "changed"
        self.stdout.write(f"Connection {told}: {connection}, {connection.base_url}.")
        return connection

    def _tell(self, connection: Connection) -> None:
        self.stdout.write(f"JWKS URL for the vendor: {keys.jwks_url(connection.registration.environment)}")
        step = checklist.of(connection).current
        if step is not None:
            self.stdout.write(f"Next step ({step.who}): {step.title}. {step.todo}".rstrip())


def _known(own: QuerySet[ClientRegistration], client_id: str) -> ClientRegistration | None:
    """The registration of this client id; else the draft that waits for one; without an id, the only one there is."""
    if client_id:
        return own.filter(client_id=client_id).first() or own.filter(client_id="").first()
    return own.get() if own.count() == 1 else own.filter(client_id="").first()


def _method(backend: bool, has_secret: bool) -> str:
    if backend:
        return AuthMethod.PRIVATE_KEY_JWT
    return AuthMethod.SECRET_BASIC if has_secret else AuthMethod.NONE


def _is_stored(registration: ClientRegistration, secret: str) -> bool:
    try:
        return registration.client_secret == secret
    except fields.SecretUnreadable:
        return False


def _as_kept(base_url: str, registration: ClientRegistration) -> str:
    """The address as the form keeps it, or "" when the form will refuse it anyway."""
    try:
        return base_urls.checked(base_url, registration.profile, None)
    except ValidationError:
        return ""


def _file(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}.") from None


def _clean(practice: Practice) -> None:
    try:
        practice.full_clean()
    except ValidationError as error:
        raise CommandError(f"The practice: {' '.join(error.messages)}") from None


def _require(form: forms.BaseForm, hint: str = "") -> None:
    """Raises CommandError with the form's own sentences, and the hint where it was a doubt."""
    if form.is_valid():
        return
    said = []
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else None
        said.append(f"{label or 'Registration'}: {' '.join(str(error) for error in errors)}")
    doubted = "confirmed_address" in form.fields and isinstance(form.fields["confirmed_address"].widget, ConfirmBox)
    raise CommandError(" ".join([*said, hint] if doubted else said))
