"""Another process of the product that uses tokens while they are sealed anew: `python -m bench.token_traffic WHAT`.

WHAT is "read" or "renew". Says "ready" on a line, goes on until its standard input ends, and then says what it did, as
one JSON object.
"""

import json
import random
import sys
import threading
from datetime import timedelta

import django

django.setup()

from django.utils import timezone  # noqa: E402

from emr import fields  # noqa: E402
from emr.models import SystemToken  # noqa: E402


def readable(row: SystemToken) -> bool:
    try:
        return row.access_token.startswith(("token-", "renewed-"))
    except fields.SecretUnreadable:
        return False


def main(renews: bool) -> None:
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    chance = random.Random(3)
    keys = list(SystemToken.objects.values_list("pk", flat=True))
    read = renewed = wrong = 0
    print("ready", flush=True)
    while not over.is_set():
        row = SystemToken.objects.get(pk=chance.choice(keys))
        wrong += not readable(row)
        read += 1
        if renews:
            sealed = fields.seal(row, "access_token", row.pk, f"renewed-{read}")
            until = timezone.now() + timedelta(minutes=5)
            renewed += SystemToken.objects.filter(pk=row.pk).update(access_token=sealed, expires_at=until)
    print(json.dumps({"read": read, "renewed": renewed, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(renews=sys.argv[1] == "renew")
