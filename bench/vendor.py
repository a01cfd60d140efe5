"""`python -m bench.vendor --jitter-ms 300 --phase 17 -- …`: the sandbox, with what lies between us and a vendor.

jitter-ms: a call arrives up to so many milliseconds after it was sent (uniform), before it is counted. phase: the
vendor's minute turns so many seconds before ours. Everything behind `--` is the sandbox's own.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable

from sandbox import routes, state
from sandbox.__main__ import main as serve
from sandbox.limits import CallCounter
from sandbox.messages import Request, Response


def late(answer: Callable[[state.SandboxState, Request], Response], longest: float) -> Callable[..., Response]:
    def arrived(held: state.SandboxState, request: Request) -> Response:
        if request.segments[0] != "control":
            time.sleep(random.uniform(0, longest))
        return answer(held, request)

    return arrived


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.vendor")
    parser.add_argument("--jitter-ms", type=float, default=0)
    parser.add_argument("--phase", type=float, default=0)
    parser.add_argument("sandbox", nargs="*")
    options = parser.parse_args(arguments)
    if options.jitter_ms:
        routes.answer = late(routes.answer, options.jitter_ms / 1000)

    def counter(practice: str, limit: int, clock: Callable[[], float]) -> CallCounter:
        return CallCounter(practice, limit, lambda: clock() + options.phase)

    state.CallCounter = counter  # type: ignore[assignment, misc]
    serve(options.sandbox)


if __name__ == "__main__":
    main(sys.argv[1:])
