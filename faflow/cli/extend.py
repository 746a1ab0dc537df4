"""`faflow extend`: a stored run or sweep goes on to a later time."""

from argparse import Namespace
from typing import Any

from .arguments import Verb, argument, flag
from .figures import draw_run, draw_stored, lacks
from .printing import print_rows, print_summary, say_json, tell
from .running import FIGURES, NO_END_STATE, NO_FIGURES
from .steps import Steps
from .sweep import WORKERS, bar


def _act(given: Namespace) -> int:
    from ..sweeps.result import is_sweep

    result = _sweep(given) if is_sweep(given.result) else _run(given)
    if lacks(result, given.figures):
        with Steps(quiet=given.json) as steps:
            steps.begin("drawing")
            if result.swept:
                draw_stored(result)
            else:
                draw_run(result, given.figures)
    if given.json:
        say_json(result.summary)
    elif not result.swept:
        print_summary(result.summary, result.folder, result.fresh, certified=False)
    else:
        from ..sweeps.tables import sweep_rows

        state = "" if result.fresh else "  (already there)"
        print_rows(f"{result.name}  ->  {result.folder}{state}", sweep_rows(result))
    return result.exit_code


def _run(given: Namespace) -> Any:
    from ..runs.extend import extend, precision_of
    from ..setup.programs import in_precision

    with Steps(quiet=given.json) as steps:
        steps.begin("preparing")
        with in_precision(precision_of(given.result)):
            return extend(
                given.result, given.t1, out=given.out, replace=given.replace,
                checkpoint=given.checkpoint, end_state=not given.no_end_state,
                note=steps.note, tell=tell, meter=steps.meter(),
            )  # fmt: skip


def _sweep(given: Namespace) -> Any:
    from ..sweeps.longer.extend import LongerSweep

    longer = LongerSweep(given.result, given.t1, given.out)
    for word in longer.words:
        tell(word)
    with bar(longer.plan.name, longer.plan.grid.size, given.json) as show:
        return longer.run(replace=given.replace, workers=given.workers, tell=show)


VERB = Verb("go on with a stored run or sweep to a later time", _act, (
    argument("result", metavar="RESULT", help="result or sweep folder"),
    argument("--t1", type=float, required=True, metavar="T", help="the time to go on to"),
    argument("--out", metavar="DIR", help="where the longer one goes (default: in its place)"),
    flag("--json", "print the summary as JSON, nothing else"),
    flag("--replace", "replace what DIR, or a checkpoint of another t1, holds"),
    argument("--checkpoint", type=float, default=60.0, metavar="SECONDS", help="keep a run on disk "
             "every so many seconds (default 60); the same command goes on from there"),
    NO_END_STATE, FIGURES, NO_FIGURES, WORKERS,
), "reading")  # fmt: skip
