"""Charts from files, control or the generator into the store; whatever is broken is reported, not fatal."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sandbox.charts_store import ChartStore, Key, StoredResource, index
from sandbox.references import VALID_ID
from sandbox.unservable import Unservable

SUFFIXES = (".ndjson", ".json")


@dataclass
class Batch:
    """What one load found: resources ready to serve, urn:uuid meanings, and what was turned away."""

    resources: list[StoredResource] = field(default_factory=list)
    urns: dict[str, Key] = field(default_factory=dict)
    rejected: list[Unservable] = field(default_factory=list)

    def reject(self, resource_type: object, resource_id: object, reason: str, source: str) -> None:
        """Notes something that cannot be served."""
        self.rejected.append(
            Unservable(
                resource_type if isinstance(resource_type, str) else None,
                resource_id if isinstance(resource_id, str) else None,
                reason,
                source,
            )
        )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse(text: str) -> Any:
    """Strict JSON (no NaN or Infinity).

    Raises:
        ValueError: the text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def dump(resource: Any) -> bytes:
    """Compact JSON bytes of a resource that has no text of its own (Bundle entry, control, generator)."""
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


def read_folders(folders: Iterable[Path]) -> Batch:
    """Reads every NDJSON and JSON file below the folders, in path order."""
    batch = Batch()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                _read_file(batch, path, str(path.relative_to(folder)))
    return batch


def _read_file(batch: Batch, path: Path, source: str) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        batch.reject(None, None, f"unreadable file: {type(error).__name__}", source)
        return
    if path.suffix == ".ndjson":
        read_ndjson(batch, text, source)
    else:
        read_text(batch, text, source)


def read_ndjson(batch: Batch, text: str, source: str) -> None:
    """Reads one resource or Bundle a line; blank lines are skipped."""
    # Not splitlines(): U+2028 and its like are legal inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            read_text(batch, line, f"{source}:{number}")


def read_text(batch: Batch, text: str, source: str) -> None:
    """Reads one JSON document; a resource that stands alone keeps this very text."""
    text = text.strip()
    try:
        document = parse(text)
    except ValueError as error:
        batch.reject(None, None, f"not JSON: {error}", source)
        return
    _read_document(batch, document, text.encode(), source)


def read_documents(batch: Batch, documents: Iterable[Any], source: str) -> None:
    """Reads parsed resources or Bundles, writing their text anew."""
    for number, document in enumerate(documents, start=1):
        _read_document(batch, document, dump(document), f"{source}[{number}]")


def _read_document(batch: Batch, document: Any, raw: bytes, source: str) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
        batch.reject(None, None, "not a FHIR resource: no resourceType", source)
    elif document["resourceType"] == "Bundle":
        for full_url, resource, place in _bundle_entries(batch, document, source):
            _note_urn(batch, full_url, resource)
            _read_document(batch, resource, dump(resource), place)
    elif not isinstance(document.get("id"), str) or not VALID_ID.fullmatch(document["id"]):
        batch.reject(document["resourceType"], document.get("id"), "its id is missing or not valid", source)
    else:
        batch.resources.append(index(document, raw, source))


def _bundle_entries(batch: Batch, bundle: dict[str, Any], source: str) -> Iterator[tuple[Any, Any, str]]:
    entries = bundle.get("entry", [])
    for number, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
        place = f"{source}#entry[{number}]"
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            yield entry.get("fullUrl"), entry["resource"], place
        else:
            batch.reject(None, None, "Bundle entry without a resource", place)


def _note_urn(batch: Batch, full_url: Any, resource: dict[str, Any]) -> None:
    resource_type, resource_id = resource.get("resourceType"), resource.get("id")
    if not isinstance(full_url, str) or not full_url.startswith("urn:"):
        return
    if isinstance(resource_type, str) and isinstance(resource_id, str):
        batch.urns[full_url] = (resource_type, resource_id)


def load(store: ChartStore, batch: Batch) -> list[Unservable]:
    """Puts a start-up batch into an empty or part-filled store: of one id, the first stays.

    Returns:
        What could not be loaded: the batch's rejects, and every duplicate id.
    """
    rejected = list(batch.rejected)
    fresh: dict[Key, StoredResource] = {}
    for resource in batch.resources:
        first = fresh.get(resource.key) or store.get(resource.key)
        if first is None:
            fresh[resource.key] = resource
            continue
        same = "the same text" if first.raw == resource.raw else "another text"
        reason = f"duplicate id: {first.source} has {same}"
        rejected.append(Unservable(*resource.key, reason, resource.source))
    store.add(fresh.values(), batch.urns)
    return rejected
