"""``python -m sandbox``: prints one JSON line when it serves, and stops on SIGTERM or SIGINT."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from sandbox.clients import RegisteredClient, RegistrationError
from sandbox.config import GENERIC, VENDOR, ConfigError, SandboxConfig
from sandbox.server import Sandbox


def client_option(text: str) -> RegisteredClient:
    """``ID=JWKS_URL[=scopes]``, scopes separated by spaces or commas; for argparse."""
    client_id, _, rest = text.partition("=")
    url, _, scopes = rest.rpartition("=")
    if "system/" not in scopes:
        url, scopes = rest, ""
    try:
        return RegisteredClient(client_id, url, tuple(scopes.replace(",", " ").split()))
    except RegistrationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def latency_option(text: str) -> tuple[str, int]:
    """``Type=milliseconds``, for argparse."""
    resource_type, _, milliseconds = text.partition("=")
    if not resource_type or not milliseconds.isdecimal():
        raise argparse.ArgumentTypeError("expected Type=milliseconds")
    return resource_type, int(milliseconds)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A strict pretend EMR practice.")
    defaults = SandboxConfig()
    parser.add_argument("--host", default=defaults.host, help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--practice", default=defaults.practice, help="six capital letters")
    parser.add_argument("--mode", choices=(VENDOR, GENERIC), default=defaults.mode, help="whose server is played")
    parser.add_argument("--patients", type=int, default=0, metavar="N", help="charts to generate")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--data", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--client", type=client_option, action="append", default=[], metavar="ID=JWKS_URL[=SCOPES]")
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--latency-per-type", type=latency_option, action="append", default=[], metavar="TYPE=MS")
    parser.add_argument("--limit", type=int, default=defaults.limit, help="calls in a clock minute")
    parser.add_argument("--page-size", type=int, default=defaults.page_size)
    parser.add_argument("--token-life", type=int, default=defaults.token_life, metavar="SECONDS")
    parser.add_argument("--grant-life", type=int, default=defaults.grant_life, metavar="SECONDS")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keeps registered clients over restarts")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="serve https with this certificate and key")
    parser.add_argument("--quiet", action="store_true", help="no line per request")
    return parser


def read_config(arguments: Sequence[str]) -> SandboxConfig:
    """The settings a command line asks for; leaves with status 2 when it cannot be understood."""
    parser = argument_parser()
    options = parser.parse_args(arguments)
    try:
        return SandboxConfig(
            practice=options.practice,
            mode=options.mode,
            host=options.host,
            port=options.port,
            patients=options.patients,
            seed=options.seed,
            data=tuple(options.data),
            clients=tuple(options.client),
            latency_ms=options.latency_ms,
            latency_per_type=dict(options.latency_per_type),
            limit=options.limit,
            page_size=options.page_size,
            token_life=options.token_life,
            grant_life=options.grant_life,
            state_file=options.state,
            quiet=options.quiet,
            certificate=options.certificate,
        )
    except ConfigError as error:
        parser.error(str(error))


def main(arguments: Sequence[str]) -> None:
    """Runs until a signal ends it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Sandbox(read_config(arguments)) as sandbox:
        started = {
            "fhir_base": sandbox.fhir_base,
            "control": sandbox.control_url,
            "patients": len(sandbox.state.charts.patients()),
            "resources": len(sandbox.state.charts),
            "unservable": len(sandbox.state.unservable()),
        }
        print(json.dumps(started), flush=True)
        stop.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
