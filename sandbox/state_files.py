"""JSON files that outlive a restart: written beside themselves and moved, readable by their owner alone."""

import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, document: Any) -> None:
    """Replaces the file in one step."""
    scratch = path.with_name(path.name + ".new")
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(document, indent=1), encoding="utf-8")
    os.replace(scratch, path)


def read(path: Path | None) -> Any:
    """What was written last, None when nothing was."""
    if path is None or not path.exists():
        return None
    return json.loads(path.read_text(encoding="utf-8"))
