"""What holds for every template: neutral words, no inline code, our frame around every account and error page."""

import re
from pathlib import Path

import pytest
from django.core import mail
from django.template.loader import get_template
from django.test import Client
from django.urls import reverse

from emr.models import Practice, User
from tests.conftest import signed_in
from tests.pages import charts

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SOURCES = sorted((ROOT / "patients").glob("*.py"))

# Words that judge a patient or guess what they did: the record tells what was ordered, not what was swallowed.
JUDGING = re.compile(
    r"\b(took|takes|taken by|overus(e[sd]?|ing)|failed|non-?adheren\w*|non-?complian\w*|adheren\w*|complain\w*|denies"
    r"|should (take|stop|start)|recommend\w*|drug[- ]seeking|abus\w+)\b",
    re.I,
)


def each(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


# A fetch may fail, and pages about connections say so; a patient or a drug does not.
ABOUT_PATIENTS = [path for path in TEMPLATES if path.parent.name == "patients"]


@pytest.mark.parametrize("path", each([*ABOUT_PATIENTS, *SOURCES]))
def test_wording_is_neutral(path: Path) -> None:
    assert JUDGING.findall(path.read_text("utf-8")) == []


def test_the_scan_bites() -> None:
    for sentence in ("The patient took 4", "Patient overuses triptans", "failed topiramate", "is non-adherent"):
        assert JUDGING.search(sentence)


@pytest.mark.parametrize("path", each(TEMPLATES))
def test_template_holds_no_inline_code_and_trusts_nothing(path: Path) -> None:
    text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|javascript:", text, re.I)
    # A block of data is no script: browsers never run it.
    assert not re.search(r'<script(?![^>]*(?:\ssrc=|\stype="application/json"))', text)
    assert not re.search(r"\|\s*safe\b|autoescape off|safeseq|https?://", text)


def test_python_of_the_pages_trusts_nothing() -> None:
    for path in SOURCES:
        assert not re.search(r"mark_safe|SafeString|format_html", path.read_text("utf-8")), path


def heading(page: str) -> list[str]:
    return re.findall(r"<h1[^>]*>(.*?)</h1>", page, re.S)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("account_login", "Sign in"),
        ("account_reset_password", "Reset your password"),
        ("account_reset_password_done", "Look in your mail"),
        ("account_reset_password_from_key_done", "Password set"),
        ("account_inactive", "Account closed"),
        ("account_signup", "Accounts are by invitation"),
    ],
)
def test_account_page_has_our_frame(db: None, name: str, title: str) -> None:
    page = Client().get(reverse(name)).content.decode()
    assert heading(page) == [title]
    assert 'class="wordmark"' in page


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("account_logout", "Sign out"),
        ("account_change_password", "Change your password"),
        ("account_reauthenticate", "Confirm it is you"),
    ],
)
def test_account_page_of_the_signed_in(alice: User, name: str, title: str) -> None:
    page = signed_in(alice).get(reverse(name)).content.decode()
    assert heading(page) == [title]
    assert "Alice" in page


def test_wrong_login_links_the_summary_to_the_field(db: None) -> None:
    page = Client().post(reverse("account_login"), {"login": "", "password": ""}).content.decode()
    assert 'role="alert"' in page
    assert '<a href="#id_login">' in page
    assert 'aria-invalid="true"' in page


@pytest.mark.django_db(transaction=True)  # mails are sent after the commit
def test_password_reset_end_to_end(alice: User) -> None:
    client = Client()
    client.post(reverse("account_reset_password"), {"email": alice.email})
    link = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[0].body)
    assert link
    page = client.get(link[0], follow=True)
    assert heading(page.content.decode()) == ["Set a new password"]
    used = client.post(
        page.request["PATH_INFO"], {"password1": "a brand new phrase", "password2": "a brand new phrase"}, follow=True
    )
    assert heading(used.content.decode()) == ["Password set"]
    again = Client().get(link[0], follow=True)
    assert "used already or has expired" in again.content.decode()


def test_sign_out_is_a_form(alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    page = client.get(reverse("patients:list", args=[practice_a.pk])).content.decode()
    assert f'<form method="post" action="{reverse("account_logout")}">' in page
    client.post(reverse("account_logout"))
    assert client.get("/").status_code == 302


def test_missing_page_has_our_frame(alice: User) -> None:
    answer = signed_in(alice).get("/nothing/here/")
    assert answer.status_code == 404
    assert heading(answer.content.decode()) == ["Page not found"]


@pytest.mark.parametrize("name", ["400.html", "403.html", "404.html", "403_csrf.html", "413.html", "500.html"])
def test_error_page_renders_without_context(name: str) -> None:
    assert len(heading(get_template(name).render())) == 1


def test_admin_knows_patients_as_rows_only(db: None, practice_a: Practice) -> None:
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    person = charts.patient(practice_a)
    client = signed_in(root)
    for url in (
        reverse("admin:patients_patient_changelist"),
        reverse("admin:patients_patient_change", args=[person.pk]),
    ):
        page = client.get(url).content.decode()
        assert str(person.pk) in page
        for secret in ("Garcia", "María", "1989", "9150"):
            assert secret not in page
    assert client.get(reverse("admin:patients_patient_add")).status_code == 403
    assert client.post(reverse("admin:patients_patient_delete", args=[person.pk])).status_code == 403
