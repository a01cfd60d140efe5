"""Mails to people with accounts, and to those invited: plain texts, sent one by one."""

import logging
from collections.abc import Iterable
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

log = logging.getLogger(__name__)


def send(template: str, subject: str, context: dict[str, Any], to: Iterable[str]) -> bool:
    """Send emr/mail/[template].txt to each address. False: the mail server did not take one; nothing is raised.

    What a mail tells of has happened: a mail server that is down must not undo it.
    """
    text = render_to_string(f"emr/mail/{template}.txt", {"site": settings.PUBLIC_URL, **context})
    try:
        for address in to:
            send_mail(subject, text, None, [address])
    except (OSError, SMTPException) as error:
        # The class only: servers quote addresses in their answers.
        log.error("a mail (%s) was not sent: %s", template, type(error).__name__)
        return False
    return True
