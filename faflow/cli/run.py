"""`faflow run`: configs run, their results stored and printed."""

from argparse import Namespace

from ..config.errors import ConfigError
from .arguments import OVERRIDES, Verb, argument, config, flag
from .jobs import one_by_one, run_jobs
from .printing import all_said, beside_bars, pass_on, print_summary, say_json
from .running import FIGURES, NO_END_STATE, NO_FIGURES, Asked, resolve_asked
from .steps import Steps
from .surroundings import join_others
from .verdict import BAD_INPUT, PRIORITY, unless_told


def _act(given: Namespace) -> int:
    several = len(given.configs) > 1
    asked = Asked(
        given.overrides, given.out, several, given.json, given.replace, given.checkpoint,
        given.figures, given.certify, given.certify_with, not given.no_end_state,
    )  # fmt: skip
    with Steps(quiet=given.json) as steps:
        steps.begin("starting")
        _look_at(given)
        # None is run, which may take hours, if one of them can't be.
        ready = [unless_told(lambda c=one: resolve_asked(c, asked)) for one in given.configs]
    if any(resolved is None for resolved in ready):
        return BAD_INPUT
    if given.jobs > 1 and several:
        done = run_jobs(given.configs, ready, asked, given.jobs)
    else:
        done = one_by_one(ready, asked)
    codes, summaries = [], {}
    for one in done:
        codes.append(BAD_INPUT if one.ran is None else one.ran.code)
        with beside_bars():
            pass_on(one.told)
            if one.ran is not None and one.ran.folder is not None:
                summaries[one.number] = one.ran.summary
                if not given.json:
                    print_summary(*one.ran[1:], asked.certified)
                    all_said()
    if given.json and (several or summaries):
        in_order = [summaries[number] for number in sorted(summaries)]
        say_json(in_order if several else in_order[0])
    return next(code for code in PRIORITY if code in codes)


def _look_at(given: Namespace) -> None:
    """ConfigError if what is asked for can't be, beside the configs; joins the others if there are
    any."""
    if given.distributed:
        if given.certify or given.certify_with is not None:
            raise ConfigError("--distributed", "certifies nothing; leave out --certify")
        if given.jobs != 1:
            raise ConfigError("--distributed", "runs one config at a time; leave out --jobs")
        join_others()
    if given.jobs < 1:
        raise ConfigError("--jobs", f"is {given.jobs}; give at least 1")


VERB = Verb("run configs, store and print their results", _act, (
    config("configs", nargs="+"),
    argument("--out", metavar="DIR", help="the result folder itself (default results/NAME)"),
    flag("--json", "print the summary as JSON, nothing else"),
    flag("--replace", "replace a stored result if it differs"),
    flag("--distributed",
         "one of several processes that run this command together (docs/large-flows.md)"),
    argument("--checkpoint", type=float, metavar="SECONDS", help="keep a long flow on disk "
             "every so many seconds; the same command goes on from there"),
    NO_END_STATE, FIGURES, NO_FIGURES,
    argument("--jobs", type=int, default=1, metavar="N", help="run so many configs at a time, "
             "in processes of their own, the longest first"),
    flag("--certify",
         "run to a tenth of the tolerance too, and print how many digits of every figure agree"),
    argument("--certify-with", metavar="SOLVER",
             help="the same by a second method, at the tolerance"),
    OVERRIDES,
))  # fmt: skip
