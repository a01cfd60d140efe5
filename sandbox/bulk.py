"""Group bulk export (Bulk Data Access 2.0.0, export.html), refused more readily than the vendor does.

One group holds every patient. Its kick-off wants the exact headers, one `_type` with commas and the Group scope; one
export a client runs at a time; files and status are the client's own and end with the job. As at the vendor, an unknown
group is a 401, and links name another host over plain http. What `_since` leaves out is judged by what earlier exports
have seen.
"""

import datetime
import gzip
import json
import re
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from sandbox import fhir
from sandbox.access_scopes import GROUP_SCOPES
from sandbox.bulk_jobs import ExportFile, Job
from sandbox.calls import Call
from sandbox.messages import Request, Response, json_response, outcome_response
from sandbox.plan import READABLE
from sandbox.state import SandboxState
from sandbox.tokens import AccessToken

NDJSON = "application/fhir+ndjson"
FORMATS = (NDJSON, "application/ndjson", "ndjson")
POLL, FILE = "$export-poll-location", "$export-file-location"
PARAMETERS = ("_type", "_since", "_outputFormat")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def concerns(call: Call) -> bool:
    """True for the calls of an export."""
    return call.tail in ((POLL,), (FILE,)) or (
        len(call.tail) == 3 and (call.tail[0], call.tail[2]) == ("Group", "$export")
    )


def answer(state: SandboxState, request: Request, call: Call) -> Response:
    """Answers a call of an export.

    Raises:
        Refusal: with an OperationOutcome.
    """
    public = public_job(state, request, call)
    if public is not None:
        return download(state, request, public)
    token = fhir.authenticate(state, request)
    if not GROUP_SCOPES.intersection(token.scopes):
        raise fhir.refusal(403, "forbidden", "Insufficient scope for Group")
    if call.tail[0] == "Group":
        return kick_off(state, request, call.tail[1], token)
    job = job_of(state, request, token)
    if call.tail == (FILE,):
        return download(state, request, job)
    if request.method == "DELETE":
        state.exports.forget(job.id)
        return Response(202)
    return status(state, request, job)


def kick_off(state: SandboxState, request: Request, group: str, token: AccessToken) -> Response:
    """Starts an export; the data are those of this moment."""
    exports = state.exports
    asked = parameters(request)
    if group != exports.settings.group:
        raise fhir.refusal(401, "security", "The group is not known or not allowed")
    types = wanted_types(asked, token)
    running = exports.running(token.client_id)
    if running is not None:
        exports.poll(running)  # time passes for it, whoever asks
        headers = {"Retry-After": str(exports.settings.retry_after)}
        return outcome_response(429, "throttled", "An export of this group is already in progress", headers)
    url = f"{state.fhir_base}/Group/{group}/$export" + (f"?{request.query}" if request.query else "")
    job = exports.start(token.client_id, url, types, since(asked), state.charts)
    headers = {"Content-Location": location(state, POLL, job.id), "Retry-After": str(exports.settings.retry_after)}
    return Response(202, headers=(*headers.items(), ("X-Progress", "Accepted")))


def parameters(request: Request) -> dict[str, str]:
    """The parameters of a kick-off, each sent once, by GET or in the Parameters of a POST."""
    if request.method not in ("GET", "POST"):
        raise fhir.refusal(405, "not-supported", f"Method {request.method} is not supported")
    if "respond-async" not in [word.strip() for word in request.headers.get("Prefer", "").split(",")]:
        raise fhir.refusal(400, "required", "Prefer: respond-async is required")
    if request.headers.get("Accept") != "application/fhir+json":
        raise fhir.refusal(406, "not-supported", "Accept: application/fhir+json is required")
    pairs = request.parameters if request.method == "GET" else posted(request)
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names) or not set(names) <= set(PARAMETERS):
        raise fhir.unknown_parameters(names)
    asked = dict(pairs)
    if asked.get("_outputFormat", NDJSON) not in FORMATS:
        raise fhir.refusal(400, "not-supported", "Only NDJSON is exported")
    return asked


def posted(request: Request) -> list[tuple[str, str]]:
    """Name and value of each parameter of a POSTed Parameters resource."""
    try:
        document = json.loads(request.body)
        rows: Any = document["parameter"] if document["resourceType"] == "Parameters" else None
        return [(row["name"], row.get("valueString") or row["valueInstant"]) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise fhir.refusal(400, "structure", "The body is no Parameters resource") from error


def wanted_types(asked: dict[str, str], token: AccessToken) -> tuple[str, ...]:
    """The types to export: those asked for, else every one the token may read."""
    if "_type" not in asked:
        return tuple(sorted(kind for kind in READABLE if may_read(token, kind)))
    types = tuple(dict.fromkeys(asked["_type"].split(",")))
    for kind in types:
        fhir.require_known_type(kind)
        if not may_read(token, kind):
            raise fhir.refusal(403, "forbidden", f"Insufficient scope for {kind}")
    return types


def may_read(token: AccessToken, kind: str) -> bool:
    """True when the token reads the type of the whole system."""
    return bool({f"system/{kind}.{form}" for form in ("read", "rs", "r")}.intersection(token.scopes))


def since(asked: dict[str, str]) -> float | None:
    """POSIX seconds of `_since`."""
    text = asked.get("_since")
    if text is None:
        return None
    if not INSTANT.fullmatch(text):
        raise fhir.refusal(400, "value", "The value of parameter [_since] is not an instant")
    return datetime.datetime.fromisoformat(text).timestamp()


def job_of(state: SandboxState, request: Request, token: AccessToken) -> Job:
    """The client's own job that the request names."""
    job = state.exports.find(dict(request.parameters).get("job_id", ""))
    if job is None or job.client_id != token.client_id:
        raise fhir.refusal(404, "not-found", "There is no such export")
    return job


def public_job(state: SandboxState, request: Request, call: Call) -> Job | None:
    """The job of a file that needs no token; a token sent along all the same is refused."""
    job = state.exports.find(dict(request.parameters).get("job_id", "")) if call.tail == (FILE,) else None
    if job is None or not job.public:
        return None
    if "Authorization" in request.headers:
        raise fhir.refusal(400, "security", "No token is asked for here")
    return job


def status(state: SandboxState, request: Request, job: Job) -> Response:
    """202 while it runs, then the manifest."""
    if request.method != "GET":
        raise fhir.refusal(405, "not-supported", f"Method {request.method} is not supported")
    if request.headers.get("Accept") != "application/json":
        raise fhir.refusal(406, "not-supported", "Accept: application/json is required")
    exports = state.exports
    done = exports.poll(job)
    if done < 100:
        wait = exports.settings.retry_after
        # Both forms of RFC 9110 section 10.2.3, turn and turn about.
        when = str(wait) if job.polls % 2 else formatdate(state.clock() + wait, usegmt=True)
        return Response(202, headers=(("X-Progress", f"{done}% complete"), ("Retry-After", when)))
    expires = formatdate(job.started_at + exports.settings.life, usegmt=True)
    return json_response(200, manifest(state, job), headers={"Expires": expires})


def manifest(state: SandboxState, job: Job) -> dict[str, Any]:
    """The list of the job's files."""
    lists: dict[str, list[dict[str, Any]]] = {"output": [], "deleted": [], "error": []}
    for name, file in job.files.items():
        kind = file.resource_type
        lists[file.kind].append({"type": kind, "url": location(state, FILE, job.id, name), "count": len(file.lines)})
    moment = datetime.datetime.fromtimestamp(job.started_at, datetime.UTC)
    return {
        "transactionTime": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request": job.url,
        "requiresAccessToken": True,
        **lists,
    }


def location(state: SandboxState, place: str, job: str, name: str = "") -> str:
    """A link as the vendor writes it."""
    query = f"job_id={job}" + (f"&file={name}" if name else "")
    return f"{fhir.foreign_base(state.config.practice)}/{place}?{query}"


def download(state: SandboxState, request: Request, job: Job) -> Response:
    """One file, compressed where the client can take it."""
    if request.method != "GET":
        raise fhir.refusal(405, "not-supported", f"Method {request.method} is not supported")
    file = job.files.get(dict(request.parameters).get("file", ""))
    if file is None or job.done < 100:
        raise fhir.refusal(404, "not-found", "There is no such file")
    response = Response(200, body_of(file), NDJSON, served=file.served)
    return compressed(response) if "gzip" in request.headers.get("Accept-Encoding", "") else response


def body_of(file: ExportFile) -> bytes:
    """The file's bytes: a line break behind every line."""
    return b"".join(line + b"\n" for line in file.lines)


def compressed(response: Response) -> Response:
    """The same answer, gzip-encoded."""
    packed = gzip.compress(response.body, compresslevel=1)
    return replace(response, body=packed, headers=(*response.headers, ("Content-Encoding", "gzip")))
