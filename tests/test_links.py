"""Relative links of README, the pages and the benchmarks' tables lead to files and headings that
are there. No network: links to other hosts are not followed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
        *(ROOT / "benchmarks").rglob("*.md"),
    ]
)


def anchors(text: str) -> set[str]:
    """The names that headings get, as GitHub and MyST make them."""
    titles = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(FENCE.sub("", text)):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (
            anchor and anchor not in anchors(text if not name else target.read_text("utf-8"))
        ):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text("utf-8")) == []


def test_every_page_is_in_the_site() -> None:
    listed = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem == "index" or re.search(rf"^{page.stem}$", listed, re.MULTILINE)


def test_control_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# Two words, more\n")
    good = "[a](b.md) [b](b.md#two-words-more) [c](#here) [d](https://x)\n# Here\n"
    page = tmp_path / "a.md"
    page.write_text(good + "[e](c.md) [f](b.md#three) [g](#there)\n```\n[h](no.md)\n```\n")
    assert broken(page, page.read_text()) == ["c.md", "b.md#three", "#there"]
