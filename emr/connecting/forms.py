"""Forms of registrations, signing keys and connections, checked with sentences that say what to do."""

import re
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError

from emr import keys
from emr.connecting import base_urls, pem, scopes_advice
from emr.forms import is_set
from emr.models import ClientRegistration, Connection, DataUse, DirectoryEntry, Practice, SigningKey
from emr.wire import origins
from emr.wire.errors import NeverAgain

# FHIR ids are [A-Za-z0-9.-]{1,64} (R4, datatypes); longer ones are met too, and underscores.
_FHIR_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


def _wide_input() -> AdminTextInputWidget:
    return AdminTextInputWidget(attrs={"class": "vLargeTextField", "spellcheck": "false"})


def _answer(use: DataUse) -> forms.CharField:
    return forms.CharField(
        label=use.label, required=False, max_length=2000, widget=AdminTextareaWidget(attrs={"rows": 2})
    )


class DataUseForm(forms.Form):
    """The vendor's data-use questionnaire; patients read the answers before they consent."""

    data_use_purpose = _answer(DataUse.PURPOSE)
    data_use_sharing = _answer(DataUse.SHARING)
    data_use_sale = _answer(DataUse.SALE)
    data_use_storage = _answer(DataUse.STORAGE)
    data_use_erasure = _answer(DataUse.ERASURE)
    data_use_breach = _answer(DataUse.BREACH)
    data_use_contact = _answer(DataUse.CONTACT)

    NAMES = tuple(f"data_use_{use}" for use in DataUse.values)

    def answers(self) -> dict[str, str]:
        found = {use: self.cleaned_data.get(f"data_use_{use}", "").strip() for use in DataUse.values}
        return {use: text for use, text in found.items() if text}


class RegistrationForm(DataUseForm, forms.ModelForm):
    """The client secret is write-only: blank keeps the stored one, the box clears it."""

    new_client_secret = forms.CharField(
        label="Client secret",
        required=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "size": 60}),
    )
    clear_client_secret = forms.BooleanField(label="Forget the stored client secret", required=False)
    picked_scopes = forms.MultipleChoiceField(
        label="Scopes on offer", required=False, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = ClientRegistration
        fields = [
            "name", "vendor_profile", "portal", "environment", "app_type", "client_id", "activation_code",
            "auth_method", "signing_algorithm", "scopes", "redirect_uris", "extra_authorize_params",
            "extra_token_params", "assertion_audience",
        ]  # fmt: skip
        widgets = {
            "client_id": AdminTextInputWidget(attrs={"class": "vLargeTextField", "size": 100, "spellcheck": "false"}),
            "scopes": AdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"}),
            "redirect_uris": AdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
            "extra_authorize_params": AdminTextareaWidget(attrs={"rows": 1, "spellcheck": "false"}),
            "extra_token_params": AdminTextareaWidget(attrs={"rows": 1, "spellcheck": "false"}),
            "assertion_audience": _wide_input(),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scopes_before = self.instance.scopes
        stored = is_set(self.instance, "client_secret")
        self.fields["new_client_secret"].help_text = (
            "Set. Leave blank to keep it; it is never shown." if stored else "Not set."
        )
        told = self.instance.profile.connecting
        for name, allowed in (
            ("extra_authorize_params", told.authorize_params),
            ("extra_token_params", told.token_params),
        ):
            self.fields[name].show_hidden_initial = False  # the initial value is the stored one, not what was posted
            self.fields[name].help_text = (
                f"None is needed as a rule. Allowed: {', '.join(allowed)}. "
                'Written as {"practice_code": "{practice_code}"}; {practice_code} becomes the practice\'s code.'
            )
        for use in DataUse.values:
            self.initial.setdefault(f"data_use_{use}", self.instance.data_use.get(use, ""))
        self._offer_scopes()

    def _offer_scopes(self) -> None:
        """Once the app type is known, boxes for what the vendor advertises; the text keeps the rest."""
        self.fields["scopes"].help_text += " Backend apps: blank takes the scopes of the vendor profile."
        if self.instance._state.adding:
            del self.fields["picked_scopes"]
            return
        picker = self.fields["picked_scopes"]
        assert isinstance(picker, forms.MultipleChoiceField)  # noqa: S101 - for the type checker
        groups = scopes_advice.offered(self.instance.profile, self.instance.app_type)
        picker.choices = [(heading, [(scope, scope) for scope in listed]) for heading, listed in groups]
        on_offer = {scope for _, listed in groups for scope in listed}
        words = self.instance.scopes.split()
        self.initial["picked_scopes"] = [word for word in words if word in on_offer]
        self.initial["scopes"] = " ".join(word for word in words if word not in on_offer)
        self.fields["scopes"].label = "Other scopes"

    def clean_client_id(self) -> str:
        # Pasted from a portal: a blank or line end around it is answered with invalid_client.
        client_id: str = self.cleaned_data["client_id"].strip()
        return client_id

    def clean_redirect_uris(self) -> str:
        lines = self.cleaned_data["redirect_uris"].split()
        for number, line in enumerate(lines, 1):
            try:
                target = origins.parse(line)
            except NeverAgain as error:
                raise ValidationError(f"Line {number} is no redirect URI: {error.detail}.") from None
            if target.scheme != "https" and target.host not in _LOOPBACK:
                raise ValidationError(f"Line {number}: a redirect URI starts with https://.")
        return "\n".join(lines)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("new_client_secret") and data.get("clear_client_secret"):
            self.add_error("new_client_secret", "Enter a new secret or forget the stored one, not both.")
        for name in ("extra_authorize_params", "extra_token_params"):
            data[name] = data.get(name) or {}  # blank is none
        app_type, vendor = data.get("app_type"), data.get("vendor_profile")
        # In the order of the picker, then what was typed.
        words = list(dict.fromkeys([*data.get("picked_scopes", []), *data.get("scopes", "").split()]))
        if app_type and vendor:
            words = words or self._default_scopes(vendor, app_type)
            profile = ClientRegistration(vendor_profile=vendor).profile
            refused = [advice for advice in scopes_advice.advise(words, profile, app_type) if advice.refused]
            if refused:
                self.add_error("scopes", ValidationError([advice.text for advice in refused]))
        data["scopes"] = " ".join(words)
        return data

    @property
    def changed_data(self) -> list[str]:
        """Boxes and text are one list of scopes: it changed, or it did not."""
        names = [name for name in super().changed_data if name not in {"picked_scopes", "scopes"}]
        same = getattr(self, "cleaned_data", {}).get("scopes", "").split() == self._scopes_before.split()
        return names if same else [*names, "scopes"]

    def _default_scopes(self, vendor: str, app_type: str) -> list[str]:
        registration = ClientRegistration(vendor_profile=vendor, app_type=app_type)
        if not registration.is_backend:
            return []
        bulk = app_type == ClientRegistration.AppType.BACKEND_BULK
        group = [registration.profile.connecting.advertised.group_scope] if bulk else []
        return [*registration.profile.default_scopes.split(), *group]

    def save(self, commit: bool = True) -> ClientRegistration:
        if self.cleaned_data["clear_client_secret"]:
            self.instance.client_secret = ""
        elif self.cleaned_data["new_client_secret"]:
            self.instance.client_secret = self.cleaned_data["new_client_secret"]
        self.instance.data_use = self.answers()
        if "client_id" in self.changed_data:
            self.instance.client_id_at = None  # the model notes when this one was entered
        registration: ClientRegistration = super().save(commit)
        return registration


class UnshownTextarea(AdminTextareaWidget):
    """What was typed is not sent back: a private key must not stand in a page."""

    def format_value(self, value: Any) -> str | None:
        return None


class NewKeyForm(forms.ModelForm):
    """Saving generates the key pair, or takes the one pasted; it is published at once and signs later."""

    rsa_bits = forms.ChoiceField(
        label="RSA size",
        choices=[(bits, f"{bits} bits") for bits in keys.RSA_SIZES],
        initial=keys.RSA_BITS,
        required=False,
        help_text="ES384 keys are always on the curve P-384.",
    )
    private_key = forms.CharField(
        label="Private key of your own",
        required=False,
        widget=UnshownTextarea(attrs={"rows": 6, "spellcheck": "false", "autocomplete": "off"}),
        help_text="Blank: a new key is generated here, which is better. Otherwise one PEM block, unencrypted.",
    )

    class Meta:
        model = SigningKey
        fields = ["environment", "algorithm"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        text, algorithm = data.get("private_key", ""), data.get("algorithm")
        self.imported: pem.PrivateKey | None = None
        if text.strip() and algorithm:
            try:
                self.imported = pem.read_private_key(text, algorithm)
            except pem.BadPem as error:
                self.add_error("private_key", str(error))
            else:
                self._refuse_known(self.imported)
        return data

    def _refuse_known(self, private: pem.PrivateKey) -> None:
        kid = keys.thumbprint(keys.public_jwk(private.public_key()))
        known = SigningKey.objects.filter(kid=kid).first()
        if known is not None:
            self.add_error("private_key", f"This key is here already: {known}. Each environment has keys of its own.")

    def save(self, commit: bool = True) -> SigningKey:
        where = {"environment": self.cleaned_data["environment"], "algorithm": self.cleaned_data["algorithm"]}
        if self.imported is not None:
            self.instance = keys.store(self.imported, **where)
        else:
            self.instance = keys.generate(**where, bits=int(self.cleaned_data["rsa_bits"] or keys.RSA_BITS))
        return self.instance

    def save_m2m(self) -> None:
        """Nothing to save: the admin calls this after save(commit=False)."""


class ConfirmBox(forms.CheckboxInput):
    """A box that is never ticked when shown, and whose value names what it would confirm."""

    def __init__(self) -> None:
        super().__init__(check_test=lambda value: False)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return data.get(name)


class ConnectionForm(forms.ModelForm):
    """A practice from the directory, or one typed by hand; doubts about the address must be confirmed for it."""

    confirmed_address = forms.CharField(
        label="Save it all the same: I have compared the address with the vendor's portal",
        required=False,
        widget=forms.HiddenInput,
    )
    patients_to_enrol = forms.CharField(
        label="Patients to enrol",
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false", "autocomplete": "off"}),
        help_text="FHIR ids of patients, one a line. Patients already enrolled stay as they are.",
    )

    class Meta:
        model = Connection
        fields = ["directory_entry", "practice", "registration", "base_url", "group_id"]
        widgets = {"base_url": _wide_input()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.new_practice: Practice | None = None
        if "directory_entry" in self.fields:
            self.fields[
                "directory_entry"
            ].help_text = "Search by name, city or code. Practice and address below may then stay blank."
            self.fields["practice"].required = self.fields["base_url"].required = False

    def clean_patients_to_enrol(self) -> list[str]:
        """The ids, in the order given. Raises ValidationError with line numbers, never the ids themselves."""
        lines = [line.strip() for line in self.cleaned_data["patients_to_enrol"].splitlines()]
        wrong = [str(number) for number, line in enumerate(lines, 1) if line and not _FHIR_ID.fullmatch(line)]
        if wrong:
            raise ValidationError(f"Not a FHIR id: line {', '.join(wrong[:20])}. Nobody was enrolled.")
        return [line for line in lines if line]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        self._fill_from_directory(data)
        practice = data.get("practice") or (None if self.instance._state.adding else self.instance.practice)
        registration = data.get("registration") or getattr(self.instance, "registration", None)
        for name, value in (("practice", practice), ("base_url", data.get("base_url"))):
            if not value and name not in self.errors and name in self.fields:
                self.add_error(name, "Choose a practice from the directory above, or fill this in.")
        if practice and registration and data.get("base_url"):
            try:
                data["base_url"] = base_urls.checked(data["base_url"], registration.profile, practice)
                self._doubt(data["base_url"], registration)
            except ValidationError as error:
                self.add_error("base_url", error)
        return data

    def _fill_from_directory(self, data: dict[str, Any]) -> None:
        entry: DirectoryEntry | None = data.get("directory_entry")
        if entry is None:
            return
        typed = (data.get("base_url") or "").strip().rstrip("/")
        if typed and typed != entry.base_url:
            self.add_error("base_url", f"The directory has {entry.base_url}. Clear this field, or the choice above.")
        data["base_url"] = typed or entry.base_url
        if data.get("practice") is None and "practice" not in self.errors:
            known = Practice.objects.filter(code=entry.code).first()
            self.new_practice = None if known else Practice(name=entry.name[:200], code=entry.code)
            data["practice"] = known or self.new_practice

    def _doubt(self, base_url: str, registration: ClientRegistration) -> None:
        """Ask again, once for each address. The box carries the address it was ticked for."""
        if not self.instance._state.adding and base_url == self.instance.base_url:
            return
        doubts = base_urls.doubts(base_url, registration)
        if not doubts or self.cleaned_data.get("confirmed_address") == base_url:
            return
        again: Any = self.data.copy()  # type: ignore[attr-defined]
        again[self.add_prefix("confirmed_address")] = base_url
        self.data = again
        self.fields["confirmed_address"].widget = ConfirmBox()
        raise ValidationError(doubts)

    def _get_validation_exclusions(self) -> set[str]:
        # A practice made from the directory is not in the database before save().
        own: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return own | {"practice"} if self.new_practice else own

    def save(self, commit: bool = True) -> Connection:
        if self.new_practice is not None:
            self.new_practice.save()
        connection: Connection = super().save(commit)
        return connection
