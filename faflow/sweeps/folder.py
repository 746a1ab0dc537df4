"""A sweep's folder: what it is of, who is at work in it, and whether it is done."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from ..config.errors import ConfigError, folder_refusal, shown
from ..config.places import moved, placeless
from ..config.resolve import Resolved
from ..measures.summary import environment
from ..store.digest import Digest, digest, sources
from ..store.exchange import finish_exchange, is_empty, put_in_place, real_path, temporary_for
from ..store.files import locked, sync, write_text
from ..store.fingerprint import start_print
from ..store.folder import is_stored
from ..store.result import CONFIG
from .chunks import CHUNKS
from .plan import SweepPlan
from .result import OLDER, is_older, stored_table


def open_folder(
    plan: SweepPlan, folder: Path, replace: bool, history: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Make the folder of a sweep, or find it there. ConfigError, with what differs, if it holds
    something else. `history`: see `run_sweep`."""
    folder, wanted = real_path(folder), sweep_digest(plan)
    try:
        if os.path.lexists(folder):
            finish_exchange(folder)
        if not os.path.lexists(folder) or is_empty(folder):
            _make(plan, folder, wanted, replace, history)
        elif (difference := _difference(plan, folder, wanted)) is not None:
            if not (replace and is_stored(folder)):
                raise ConfigError("--out", f"is {folder}, which holds {difference}")
            with locked(folder):
                _make(plan, folder, wanted, replace, history)
        (folder / CHUNKS).mkdir(exist_ok=True)
    except OSError as error:
        raise full(folder, error) from error


def _make(
    plan: SweepPlan,
    folder: Path,
    wanted: Digest,
    replace: bool,
    history: Sequence[Mapping[str, Any]],
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_for(folder) as temporary:
        provenance: dict[str, Any] = {**environment(), **wanted._asdict()}
        if history:
            provenance["extended"] = [dict(one) for one in history]
        table = {**_rebased(plan, folder), "provenance": provenance}
        write_text(temporary / CONFIG, tomli_w.dumps(table))
        sync(temporary)
        put_in_place(temporary, folder, replace)
        sync(folder.parent)


def full(folder: Path, error: OSError) -> ConfigError:
    """A disk that takes no more: what is there stays."""
    remedy = "free space, and the same command goes on from what is there"
    return folder_refusal(error, folder, remedy)


def sweep_digest(plan: SweepPlan) -> Digest:
    """The hash of a sweep's config, with the content of the files that its members read, and what
    code of the user's own computes."""
    found = hashlib.sha256(_text(plan.table).encode())
    for members in plan.programs:
        resolved = plan.resolve(members[0])
        if resolved.files() or resolved.has_own_code:
            found.update(_looked_at(resolved, lambda one: digest(one).config.encode()))
        if resolved.draws_by_own_code:  # which may draw anything from another seed
            for member in members[1:]:
                found.update(_looked_at(plan.resolve(member), start_print))
    return Digest(found.hexdigest(), sources())


def _looked_at(resolved: Resolved, look: Callable[[Resolved], bytes]) -> bytes:
    """What is seen of a member; of one that its own data refuse, why."""
    try:
        return look(resolved)
    except ConfigError as error:
        return str(error).encode()


def _difference(plan: SweepPlan, folder: Path, wanted: Digest) -> str | None:
    """What a folder holds that is not this sweep; None if it is this sweep."""
    try:
        stored = stored_table(folder)
    except ConfigError:
        return "no sweep; choose another folder"
    if is_older(stored):
        return f"{OLDER}; use another --out or --replace"
    provenance = stored.pop("provenance", {})
    found = Digest(provenance.get("config", ""), provenance.get("source", ""))
    if found.config != wanted.config:
        mine, theirs = _leaves(_plain(_rebased(plan, folder))), _leaves(_plain(stored))
        keys = [k for k in {**mine, **theirs} if mine.get(k) != theirs.get(k)]
        listed = "; ".join(f"{k} {_told(theirs.get(k))}, now {_told(mine.get(k))}" for k in keys)
        remedy = "go on with the old config, or use another --out or --replace"
        return f"a sweep of another config ({listed or 'its files have changed'}); {remedy}"
    if found.source != wanted.source:
        return "the same sweep by another version of faflow; use another --out or --replace"
    return None


def _told(value: Any) -> str:
    return "absent" if value is None else shown(value)


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "expect"}


def _text(table: dict[str, Any]) -> str:
    return json.dumps(_leaves(placeless(_plain(table))))


def _leaves(table: dict[str, Any], path: str = "") -> dict[str, Any]:
    found = {}
    for key, value in sorted(table.items()):
        where = f"{path}.{key}" if path else key
        found |= _leaves(value, where) if isinstance(value, dict) else {where: value}
    return found


def _rebased(plan: SweepPlan, folder: Path) -> dict[str, Any]:
    """The plan's tables with their files and code as seen from `folder`."""
    return moved(plan.table, plan.base, folder)
