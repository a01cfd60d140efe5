"""Faults of an export that no other kind can play: in its manifest, and in its files."""

import gzip
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sandbox.bulk import NDJSON
from sandbox.bulk_jobs import ExportFile, Job
from sandbox.fault_scenes import FaultKind, Scene
from sandbox.messages import Response, outcome

BOMB = 64 * 1024 * 1024
BAD_LINES: Mapping[str, bytes] = {
    "broken": b'{"resourceType":"Observation","id":"broken-line","status":',
    "not-utf8": b'{"resourceType":"Observation","id":"broken-text","status":"\xff\xfe"}',
    "no-id": b'{"resourceType":"Observation","status":"final"}',
    "foreign": b'{"resourceType":"Observation","id":"broken-owner","status":"final","code":{"text":"x"},'
    b'"subject":{"reference":"https://elsewhere.example/fhir/r4/ZZZZZZ/Patient/somebody-else"}}',
    "array": b"[1, 2]",
}


def _job(scene: Scene) -> Job | None:
    return scene.state.exports.find(dict(scene.request.parameters).get("job_id", ""))


def export_error(scene: Scene) -> Response:
    """One type of the export went wrong: its files are missing, and an error file says so."""
    job, kind = _job(scene), scene.argument("type", "Condition")
    if job is not None:
        severity = scene.argument("severity", "error")
        if severity == "error":
            job.files = {name: file for name, file in job.files.items() if file.resource_type != kind}
        said = json.dumps(outcome("exception", f"{kind} could not be exported", severity=severity)).encode()
        job.files["error.1.ndjson"] = ExportFile("error", "OperationOutcome", (said,))
    return scene.proceed(scene.request)


def export_deleted(scene: Scene) -> Response:
    """A deleted file that names one resource: ``resource`` as Type/id."""
    job = _job(scene)
    if job is not None:
        entry = {"request": {"method": "DELETE", "url": scene.argument("resource", "Condition/nobody")}}
        line = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}).encode()
        job.files["deleted.9.ndjson"] = ExportFile("deleted", "Bundle", (line,))
    return scene.proceed(scene.request)


def export_lost(scene: Scene) -> Response:
    """The server was restarted and knows no export any more."""
    scene.state.exports.forget_all()
    return scene.proceed(scene.request)


def foreign_file(scene: Scene) -> Response:
    """A manifest whose files lie elsewhere: under ``base``, with or without ``token``. ``type``: only that type's."""
    base, kind = scene.argument("base", "https://elsewhere.example/files"), scene.argument("type", "")
    job = _job(scene)
    if job is not None:
        job.public = not scene.argument("token", True)

    def moved(row: dict[str, Any]) -> dict[str, Any]:
        name = row["url"].partition("?")[2]
        return row | {"url": f"{base}?{name}"} if kind in ("", row["type"]) else row

    return _manifest(scene, lambda document: document | {
        "requiresAccessToken": scene.argument("token", True),
        "output": [moved(row) for row in document["output"]],
    })  # fmt: skip


def wrong_count(scene: Scene) -> Response:
    """A manifest that counts one line more in each file than there is."""

    def more(document: dict[str, Any]) -> dict[str, Any]:
        return document | {"output": [row | {"count": row["count"] + 1} for row in document["output"]]}

    return _manifest(scene, more)


def _manifest(scene: Scene, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
    response = scene.proceed(scene.request)
    if response.status != 200:
        return response
    return replace(response, body=json.dumps(change(json.loads(response.body))).encode())


def bad_line(scene: Scene) -> Response:
    """A file with one more line, in the middle, that is none; the others stay as they are."""
    response = scene.proceed(scene.request)
    if response.status != 200:
        return response
    packed = any(name == "Content-Encoding" for name, _ in response.headers)
    lines = (gzip.decompress(response.body) if packed else response.body).split(b"\n")
    size = scene.argument("size", 0)
    broken = (
        b'{"resourceType":"Observation","text":"' + secrets.token_hex(size // 2).encode() + b'"}'
        if size
        else BAD_LINES[scene.argument("line", "broken")]
    )
    lines.insert(len(lines) // 2, broken)
    body = b"\n".join(lines)
    return replace(response, body=gzip.compress(body, 1) if packed else body)


def gzip_bomb(scene: Scene) -> Response:
    """A small file that decompresses to 64 MiB."""
    headers = (("Content-Encoding", "gzip"),)
    return Response(200, gzip.compress(b" " * BOMB, 9), NDJSON, headers)


def cut_file(scene: Scene) -> Response:
    """The first half of a file, with a Content-Length that fits it: its last line is broken off."""
    response = scene.proceed(scene.request)
    packed = any(name == "Content-Encoding" for name, _ in response.headers)
    if not packed or response.status != 200:
        half = response.body[: len(response.body) // 2]
        return replace(response, body=half, delivery=replace(response.delivery, damaged=True))
    body = gzip.decompress(response.body)
    delivery = replace(response.delivery, damaged=True)
    return replace(response, body=gzip.compress(body[: len(body) // 2 + 7], 1), delivery=delivery)


FAULTS: Mapping[str, FaultKind] = {
    "export-error": FaultKind(export_error, {"type": str, "severity": str}),
    "export-deleted": FaultKind(export_deleted, {"resource": str}),
    "export-lost": FaultKind(export_lost),
    "foreign-file": FaultKind(foreign_file, {"base": str, "token": bool, "type": str}),
    "wrong-count": FaultKind(wrong_count),
    "bad-line": FaultKind(bad_line, {"line": str, "size": int}),
    "gzip-bomb": FaultKind(gzip_bomb),
    "cut-file": FaultKind(cut_file),
}
