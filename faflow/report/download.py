"""The data behind a page, as a zip file inside the page itself."""

import base64
import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..compare.subject import Subject
from ..store.result import CONFIG, RECORDS, SUMMARY
from .unplaced import unplaced_summary

FILES = (CONFIG, SUMMARY, RECORDS)
MOST = 2_000_000  # bytes of the zip file; base64 makes them a third more
_DATE = (1980, 1, 1, 0, 0, 0)  # the same results make the same page


class Bundle(NamedTuple):
    """The zip file in base64, its size in bytes, and files that there was no room for."""

    encoded: str
    size: int
    left_out: list[str]


def bundle(subjects: Sequence[Subject]) -> Bundle:
    """The files of all results, the small ones first; a file that is too large stays where it is,
    and so does what a sweep under way has not written yet."""
    left, out, buffer = MOST, [], io.BytesIO()
    files = [
        (f"{i}-{_safe(subject.name)}/{name}", subject, path)
        for name in FILES
        for i, subject in enumerate(subjects, 1)
        if (path := subject.folder / name).is_file()
    ]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, subject, path in files:
            content = _content(subject, path) if path.stat().st_size <= 20 * MOST else None
            if content is None or (size := _packed(content)) > left:
                out.append(inside)
                continue
            left -= size
            archive.writestr(zipfile.ZipInfo(inside, _DATE), content, zipfile.ZIP_DEFLATED)
    packed = buffer.getvalue()
    return Bundle(base64.b64encode(packed).decode("ascii"), len(packed), out)


def _content(subject: Subject, path: Path) -> bytes:
    """A file as the page has it: without folders of the machine that it was made on."""
    if path.name == CONFIG:
        return subject.config.encode()
    content = path.read_bytes()
    return unplaced_summary(content) if path.name == SUMMARY else content


def _packed(content: bytes) -> int:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one", content)
    return len(buffer.getvalue())


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)[:80]
