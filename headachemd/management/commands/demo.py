"""The running demo; started by `python -m headachemd.demo`, which makes the place it runs in."""

import json
import sys
import threading
import time
import urllib.error
from dataclasses import replace
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from emr.models import Connection, User
from headachemd.demo import journey, launching, loopback, totp, visitor
from headachemd.demo.place import Charts, Place
from headachemd.demo.supervisor import ChildFailed, Supervisor, wait_until


class Command(BaseCommand):
    help = "Sandbox EMR, web, worker and beat under one supervisor (use: python -m headachemd.demo)."
    requires_system_checks = ()
    stealth_options = ("place", "charts", "check")

    def handle(self, *args: Any, place: Place, charts: Charts, check: bool, **options: Any) -> None:
        began = time.monotonic()
        self.quiet, self.place = check, place
        self.newcomer: launching.Newcomer | None = None
        try:
            with Supervisor(place.environment, place.folder / "log") as processes:
                connection = self.start(processes, charts)
                if check:
                    self.report(connection, began)
                    return
                self.greet()
                threading.Event().wait()
        except KeyboardInterrupt:
            self.say("\nStopped. `make demo` goes on where it was; `make demo-reset` forgets it.")
        except (ChildFailed, ValueError, urllib.error.URLError) as why:
            self.stdout.write(f"\nThe demo stopped: {why}")
            sys.exit(1)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.stdout.write(text)
            self.stdout.flush()

    def start(self, processes: Supervisor, charts: Charts) -> Connection:
        """Everything a practice does once, and the wait for the first pull."""
        place = self.place
        call_command("migrate", verbosity=0)
        call_command("createcachetable", verbosity=0)
        if not (charts.data or self.quiet):
            charts = replace(charts, patients=charts.patients + 1)  # one is left to be invited
        told = processes.start("sandbox", sandbox_command(place, charts), first_line=True)
        sandbox = journey.Sandbox.parse(json.loads(told))
        if sandbox.unservable:
            self.say(
                f"{sandbox.unservable} records of that data cannot be served; {sandbox.control}/unservable says why."
            )
        connection = journey.furnish(place, sandbox)
        processes.start("web", web_command(place))
        processes.start("worker", celery_command("worker", "--without-gossip", "--without-mingle"))
        wait_until(
            lambda: loopback.answers(f"{place.address}/healthz"),
            seconds=30,
            what="the web server did not answer",
        )
        journey.register_at_sandbox(sandbox)
        self.sandbox, left = sandbox, ""
        if not self.quiet:
            left = self.offer_launches(connection, charts)
        processes.start("beat", celery_command("beat", f"--pidfile={place.folder}/beat.pid"))
        journey.connect(connection)
        new = journey.enrol(connection, sandbox, without=left)
        wait = journey.expected_seconds(connection, new)
        if wait > 30:
            self.say(f"{new} patients at 250 calls a minute: about {wait / 60 + 1:.0f} minutes.")
        journey.wait_for_first_pull(connection, seconds=wait * 1.5 + 120, quiet=self.quiet)
        return connection

    def offer_launches(self, connection: Connection, charts: Charts) -> str:
        """Apps for patients and clinicians. Returns the id of the patient who is left to be invited, "" for nobody."""
        launching.furnish(self.place, connection, self.sandbox.control)
        launching.know_clinicians(self.sandbox.control, User.objects.get(email=journey.STAFF_EMAIL))
        # In a folder of the visitor's own every patient is expected on the list.
        left, self.newcomer = ("", None) if charts.data else launching.newcomer(self.sandbox.control)
        return left

    def greet(self) -> None:
        place = self.place
        whom = self.newcomer.label if self.newcomer else "any patient"
        origin = self.sandbox.control.removesuffix("/control")
        self.say(
            f"\nHeadacheMD is at   {place.address}\n"
            f"Sign in as         {journey.STAFF_EMAIL}\n"
            f"Password           {place.password}\n"
            f"Code               {totp.code(place.totp_secret)} for {totp.seconds_left()} s, good for one sign-in; "
            "another: make demo-code\n"
            f"                   or give an authenticator app the key {place.totp_secret}\n"
            f"Django admin       {place.address}/admin/ as {journey.ADMIN_EMAIL}, same password and codes\n"
            f"A patient's own    on the list, Invite a patient: {whom}; then open the link\n"
            f"Inside the EMR     {origin}/oauth/oauth2/home opens us as a clinician's EMR does\n"
            "Ctrl-C stops everything."
        )

    def report(self, connection: Connection, began: float) -> None:
        """One JSON line; exit status 1 where a page is not as it should be."""
        place = self.place
        opened = visitor.pages_ok(place.address, journey.STAFF_EMAIL, place.password, place.totp_secret)
        found = journey.counts(connection)
        self.stdout.write(json.dumps(found | {"pages_ok": opened, "seconds": round(time.monotonic() - began, 1)}))
        wanted = 1 + min(3, found["patients"])
        if opened < wanted:
            raise ChildFailed(f"{opened} of {wanted} pages are as they should be")


def sandbox_command(place: Place, charts: Charts) -> list[str]:
    """Fifty a page, as the vendor was seen to send: twelve patients' first pull fits into one minute's calls.

    Consents outlive a restart.
    """
    source = ["--data", charts.data] if charts.data else ["--patients", str(charts.patients), "--seed", "2"]
    where = ["--port", str(place.sandbox_port), "--practice", journey.PRACTICE_CODE]
    how = ["--page-size", "50", "--latency-ms", str(charts.latency_ms), "--quiet"]
    how += ["--state", str(place.folder / "sandbox.json")]
    return [sys.executable, "-m", "sandbox", *where, *source, *how]


def web_command(place: Place) -> list[str]:
    where = f"127.0.0.1:{place.web_port}"
    how = ["-b", where, "-w", "2", "--log-level", "warning", "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", "headachemd.wsgi", *how]


def celery_command(role: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "headachemd.celery", role, "--loglevel=WARNING", *options]
