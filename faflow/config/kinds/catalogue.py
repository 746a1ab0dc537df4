"""What configs can name, as a file tells it that is made of the code (`tools/cataloguing.py`):
whoever lists names, completes them or shows a config needs no JAX."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from ...shipped import listed_configs

FILE = Path(__file__).with_name("catalogue.json")
CONFIGS = "configs"  # the topic that needs no catalogue


@cache
def catalogue() -> dict[str, Any]:
    """`listed`: the rows of every topic; `kinds`: options and traits by registry and name;
    `methods`: of [discrete]; `measures`: sections of the summary."""
    return json.loads(FILE.read_text("utf-8"))


def listed(topic: str) -> list[dict[str, str]]:
    """What `faflow list` shows of a topic."""
    return listed_configs() if topic == CONFIGS else catalogue()["listed"][topic]


def names(topic: str) -> list[str]:
    """All that a topic has."""
    return [row["name"] for row in listed(topic)]
