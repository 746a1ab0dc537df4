"""Texts without folders of the machine that they were written on."""

import json
import re
from typing import Any

# A slash that begins a path, its folders, and what is kept: the last name.
_PATH = re.compile(
    r"(?<![\w.~/\\<])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"/\\:;,()<>]+[/\\])+([^\s'\"/\\:;,()<>]*)"
)
_FREE = ("warnings", "refused", "message")  # keys of a summary under which anything may be said


def unplaced(text: str) -> str:
    """Absolute paths by their last names."""
    return _PATH.sub(r"\1", text)


def unplaced_summary(content: bytes) -> bytes:
    """The same of `summary.json`, letter by letter as it was where it names no path."""
    told = json.loads(content)
    cleaned = {key: _deep(value) if key in _FREE else value for key, value in told.items()}
    if cleaned == told:
        return content
    return (json.dumps(cleaned, indent=2, ensure_ascii=False) + "\n").encode()


def _deep(value: Any) -> Any:
    if isinstance(value, str):
        return unplaced(value)
    if isinstance(value, list):
        return [_deep(item) for item in value]
    return {key: _deep(item) for key, item in value.items()} if isinstance(value, dict) else value
