"""`faflow show` and `list`: a config as it is understood, and what configs can name."""

from argparse import Namespace

from .arguments import OVERRIDES, Verb, argument, config
from .printing import print_entries, say, say_toml
from .verdict import DONE

TOPICS = (
    "rules", "modifiers", "laws", "networks", "tasks", "solvers", "activations", "inits",
    "feedbacks", "observables", "losses", "kinks", "solved", "configs",
)  # fmt: skip


def _show(given: Namespace) -> int:
    from ..config.dump import config_text
    from ..config.resolve import resolve_path

    resolved = resolve_path(given.config, given.overrides, unread=True)
    if resolved.unread:
        told = ", ".join(resolved.unread)
        say(f"# Not run to be shown: {told}. What depends on it stands as the config has it.")
    say_toml(config_text(resolved))
    return DONE


def _list(given: Namespace) -> int:
    from ..config.kinds.catalogue import listed

    for topic in [given.topic] if given.topic else TOPICS:
        rows = [{key: text for key, text in row.items() if text} for row in listed(topic)]
        print_entries(topic, rows)
    return DONE


ABOUT = "print a config with every default written out"
SHOW = Verb(ABOUT, _show, (config(), OVERRIDES), "reading")
TOPIC = argument("topic", nargs="?", choices=TOPICS)
LIST = Verb("list what configs can name", _list, (TOPIC,))
