"""Faults of the generic server: what it does not do although US Core asks for it, or says that it does."""

from dataclasses import replace
from urllib.parse import urlencode

from sandbox.fault_scenes import FaultKind, Scene
from sandbox.messages import Response, outcome_response


def ignored_parameter(scene: Scene) -> Response:
    """A parameter passed over in silence, as if it had not been sent."""
    left = [(name, value) for name, value in scene.request.parameters if name != scene.argument("name", "_lastUpdated")]
    return scene.proceed(replace(scene.request, query=urlencode(left)))


def population_refused(scene: Scene) -> Response:
    """A search must name a patient."""
    named = {name for name, _ in scene.request.parameters}
    if len(scene.call.tail) != 1 or scene.call.cursor is not None or named & {"patient", "_id", "family", "identifier"}:
        return scene.proceed(scene.request)
    status = scene.argument("status", 403)
    return outcome_response(status, "forbidden" if status == 403 else "processing", "A search must name a patient")


def expired_link(scene: Scene) -> Response:
    """The server no longer holds the result that a next link stands for."""
    if scene.call.cursor is None:
        return scene.proceed(scene.request)
    return outcome_response(410, "deleted", "The search result is no longer held")


FAULTS = {
    "ignored-parameter": FaultKind(ignored_parameter, {"name": str}),
    "population-refused": FaultKind(population_refused, {"status": int}),
    "expired-link": FaultKind(expired_link),
}
