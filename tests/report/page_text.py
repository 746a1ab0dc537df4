"""A report's page as its reader gets it: tags, texts, the figures' data."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small import net

from faflow.compare.subject import open_subjects
from faflow.report.page import page

CONFIG = f"""
name = "reported"
{net([3, 3, 2, 1], 2)}
[flow]
t1 = 2.0
saves = 41
solver = "tsit5"
rtol = 1e-6

[observe]
names = ["loss", "laws"]
"""

RULE = ('kind = "feedback-alignment"', 'kind = "gradient"')
VOID = {"meta", "input"}


class Parsed(HTMLParser):
    """Tags in order with their attributes, and the text inside each kind of tag."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]][-1] += data

    @property
    def payload(self) -> dict:
        scripts = [attrs for tag, attrs in self.tags if tag == "script"]
        assert [attrs.get("type") for attrs in scripts] == ["application/json", None, None]
        return json.loads(self.texts["script"][0])


def reported(*folders: Path) -> Parsed:
    """The page without plotly's own script, which is most of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faflow.report.page.get_plotlyjs", lambda: "")
        return Parsed(page(open_subjects([str(folder) for folder in folders])))


def altered(folder: Path, to: Path, loss: float, *changes: tuple[str, str]) -> Path:
    """A result as if it had been run from another config, and ended at another loss."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("figures", ".*"))
    text = (to / "config.toml").read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (to / "config.toml").write_text(text, "utf-8")
    summary = json.loads((to / "summary.json").read_text("utf-8"))
    summary["loss"]["final"] = loss
    (to / "summary.json").write_text(json.dumps(summary), "utf-8")
    return to


def traces(parsed: Parsed, key: str) -> list[dict]:
    frames = [attrs for tag, attrs in parsed.tags if tag == "figure"]
    place = [attrs["data-key"] for attrs in frames].index(key)
    return parsed.payload["figures"][place]["traces"]
