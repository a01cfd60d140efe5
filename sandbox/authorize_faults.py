"""Faults of the launch: what an authorization server does wrong on the way to a grant, and when it renews one."""

from collections.abc import Mapping
from dataclasses import replace

from sandbox import authorize_requests
from sandbox.authorize_requests import send_back
from sandbox.fault_scenes import FaultKind, Scene
from sandbox.id_tokens import Alteration
from sandbox.messages import CallbackChange, Refusal, Response


def authorize_error(scene: Scene) -> Response:
    """The way back to the app at once, with ``error``; a request that is itself refused, is."""
    try:
        asked = authorize_requests.read(scene.state, scene.request)
    except Refusal as refusal:
        return refusal.response
    answer = {"error": scene.argument("error", "server_error"), "state": asked.state}
    if scene.argument("description", ""):
        answer["error_description"] = scene.argument("description", "")
    return send_back(asked.redirect_uri, answer)


def callback(scene: Scene) -> Response:
    """Parameters of the way back to the app set, left out or sent twice, whatever the person decides."""
    change = CallbackChange(
        {str(name): str(value) for name, value in scene.argument("set", {}).items()},
        frozenset(map(str, scene.argument("remove", []))),
        frozenset(map(str, scene.argument("double", []))),
    )
    return scene.proceed(replace(scene.request, callback=change))


def redirect_mismatch(scene: Scene) -> Response:
    """The page for a redirect URI that is not registered; nobody comes back from it."""
    return authorize_requests.redirect_mismatch()


def client_refused(scene: Scene) -> Response:
    """A 401 before anybody has signed in."""
    return authorize_requests.client_refused()


def id_token(scene: Scene) -> Response:
    """An id_token with claims set or removed, other header members or algorithm, or signed by an unknown key."""
    change = Alteration(
        scene.argument("set", {}),
        frozenset(map(str, scene.argument("remove", []))),
        scene.argument("alg", None),
        scene.argument("header", {}),
        scene.argument("foreign_key", False),
    )
    return scene.proceed(replace(scene.request, id_token=change))


def no_rotation(scene: Scene) -> Response:
    """The refresh token serves again, and the answer has none (RFC 6749 section 6)."""
    return scene.proceed(replace(scene.request, keeps_refresh_token=True))


def hang(scene: Scene) -> Response:
    """The work is done, nothing is answered, and after ``seconds`` the connection is reset."""
    response = scene.proceed(scene.request)
    scene.state.wait(scene.argument("seconds", 60.0))
    return replace(response, delivery=replace(response.delivery, reset=True))


FAULTS: Mapping[str, FaultKind] = {
    "authorize-error": FaultKind(authorize_error, {"error": str, "description": str}, at="authorize"),
    "callback": FaultKind(callback, {"set": dict, "remove": list, "double": list}, at="authorize"),
    "redirect-mismatch": FaultKind(redirect_mismatch, at="authorize"),
    "client-refused": FaultKind(client_refused, at="authorize"),
    "id-token": FaultKind(
        id_token, {"set": dict, "remove": list, "alg": str, "header": dict, "foreign_key": bool}, at="token"
    ),
    "no-rotation": FaultKind(no_rotation, at="token"),
    "hang": FaultKind(hang, {"seconds": (int, float)}),
}
