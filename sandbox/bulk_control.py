"""What control can ask of exports and set for them."""

from dataclasses import fields, replace
from typing import Any

from sandbox.bulk_jobs import ExportSettings
from sandbox.fault_orders import OrderError
from sandbox.state import SandboxState


def exports(state: SandboxState) -> dict[str, Any]:
    """``{"group", "lines", "polls", "retry_after", "life", "outside", "started", "cancelled", "held"}``."""
    return state.exports.as_json()


def set_exports(state: SandboxState, document: Any) -> dict[str, Any]:
    """Changes settings of :class:`sandbox.bulk_jobs.ExportSettings` for the exports from now on.

    Raises:
        OrderError: an unknown setting, or one of the wrong type.
    """
    known = {each.name: type(each.default) for each in fields(ExportSettings)}
    if not isinstance(document, dict) or not document.keys() <= known.keys():
        raise OrderError(f"settings are {', '.join(known)}")
    told: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    if any(type(value) is not known[name] for name, value in told.items()):
        raise OrderError("a setting has the wrong type")
    if told.get("lines", 1) < 1 or min(told.get(name, 0) for name in ("polls", "retry_after", "life")) < 0:
        raise OrderError("a setting is out of range")
    state.exports.settings = replace(state.exports.settings, **told)
    return exports(state)
