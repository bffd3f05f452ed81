"""Past decisions made again: from the facts and the policy that a run recorded, is the verdict still the same?

``facts_of`` is the one place that knows where a run keeps them: in the entries of kind ``verdict``, one a section, and
in those of kind ``smoke_again``, the smoke test that is repeated after a swap. A replay shows that the rules still say
what they said; that nobody changed the record is for ``verify`` to show.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from retrain import runbook
from retrain.checks import Model, Verdict
from retrain.errors import UsageError, nearest
from retrain.hindsight.differences import Difference, differences
from retrain.record import records
from retrain.record.records import RunFolder

__all__ = [
    "AGAIN",
    "RELATED",
    "Recorded",
    "Replayed",
    "ReplayedAll",
    "ReplayedVerdict",
    "RunFacts",
    "decided",
    "facts_of",
    "policy_of",
    "replay",
    "replay_all",
    "room",
    "told_runs",
]

Result = Literal["identical", "different", "empty"]

RELATED = ("model_drift", "data_quality")
"""The runbooks that the runbook links to: notebooks of their own, whose verdicts are recorded too."""

AGAIN = "smoke_again"
"""The kind of the entry that holds a smoke test repeated after a swap: *Blue-green deployment* goes by its outcome."""

_SMOKE_TESTS = "staging_smoke_tests"

_EXIT_CODES: Mapping[Result, int] = {"identical": 0, "different": 1, "empty": 5}


class Recorded(NamedTuple):
    """One verdict as the record holds it: JSON values, nothing validated. ``kind`` is that of its entry."""

    section: str
    attempt: int
    facts: dict[str, Any]
    policy: dict[str, Any]
    verdict: dict[str, Any]
    kind: str = "verdict"

    @property
    def outcome(self) -> str:
        """The outcome that was recorded."""
        return str(self.verdict.get("outcome"))


class RunFacts(NamedTuple):
    """A run's verdicts in the order they were reached, and its instant on the environment's clock (None: not told).

    ``version`` is the release that recorded it. ``again`` are the smoke tests after a swap: no section of their own.
    """

    run_id: str
    model: str
    at: datetime | None
    verdicts: tuple[Recorded, ...]
    version: str | None = None
    again: tuple[Recorded, ...] = ()


class ReplayedVerdict(Model):
    """One verdict made again. No differences: identical. ``decides_otherwise``: not only a word differs."""

    section: str
    attempt: int
    outcome: str
    kind: str = "verdict"
    decides_otherwise: bool = False
    differences: tuple[Difference, ...] = ()


class Replayed(Model):
    """One run made again. A run without verdicts is ``empty``, which is not ``identical``."""

    run_id: str
    model: str
    status: Result
    recorded_by: str | None = None
    verdicts: tuple[ReplayedVerdict, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 identical, 1 different, 5 empty."""
        return _EXIT_CODES[self.status]


class ReplayedAll(Model):
    """Every run made again: ``different`` where any is; ``empty`` where no run holds a verdict."""

    status: Result
    verdicts: int
    runs: tuple[Replayed, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 identical, 1 different, 5 empty."""
        return _EXIT_CODES[self.status]


def replay(folder: RunFolder) -> Replayed:
    """Decide everything again that ``folder`` recorded, and say where a verdict differs. Damage raises LedgerError."""
    return _replayed_run(facts_of(folder))


def _replayed_run(told: RunFacts) -> Replayed:
    verdicts = tuple(_replayed_verdict(recorded) for recorded in (*told.verdicts, *told.again))
    status = _status(verdicts)
    return Replayed(run_id=told.run_id, model=told.model, status=status, recorded_by=told.version, verdicts=verdicts)


def replay_all(root: str | Path, model: str | None = None) -> ReplayedAll:
    """Replay every run below ``root``, of one model or of all, newest first."""
    runs = tuple(_replayed_run(told) for told in told_runs(root, model))
    verdicts = [verdict for run in runs for verdict in run.verdicts]
    return ReplayedAll(status=_status(verdicts), verdicts=len(verdicts), runs=runs)


def told_runs(root: str | Path, model: str | None = None, *, oldest_first: bool = False) -> Iterator[RunFacts]:
    """Yield what each run below ``root`` recorded, newest first unless told otherwise. No more than one is kept."""
    folders: Iterable[RunFolder] = (replace(folder, seal=None) for folder in records.runs(root, model))
    for folder in _from_the_end([*folders]) if oldest_first else folders:
        yield facts_of(folder)
        folder.chain.forget()


def _from_the_end(folders: list[RunFolder]) -> Iterator[RunFolder]:
    while folders:
        yield folders.pop()


def facts_of(folder: RunFolder) -> RunFacts:
    """Return what ``folder`` recorded of each verdict. An entry that does not read, or is missing, is an error."""
    opened = folder.opened
    try:
        at = datetime.fromisoformat(opened["now"]) if opened.get("now") else None
        verdicts = tuple(_recorded(body) for body in folder.bodies("verdict"))
        again = tuple(_after_swap(body, opened) for body in folder.bodies(AGAIN))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder.path}: an entry does not hold facts, policy and verdict ({error!r})") from error
    return RunFacts(folder.run_id, folder.model, at, verdicts, opened.get("retrain"), again)


def decided(recorded: Recorded, policy: Any = None) -> Verdict:
    """Decide ``recorded`` again, under ``policy`` or under the one it was decided with.

    Raises ValueError where facts or policy are not what the section's types can read, UsageError for no such section.
    """
    section = room(recorded.section)
    facts = section.Facts.model_validate(recorded.facts)
    in_force = policy_of(recorded) if policy is None else policy
    decide = section.after_swap if recorded.kind == AGAIN else section.decide
    verdict: Verdict = decide(facts, in_force)
    return verdict


def policy_of(recorded: Recorded) -> Any:
    """Return the policy that was in force. Raises ValueError where today's type cannot read it."""
    return _policy(recorded.section, json.dumps(recorded.policy))


@functools.lru_cache(maxsize=64)
def _policy(section: str, recorded: str) -> Any:
    """Return a policy from its JSON. The same one is in force for many runs, and a cron expression is slow to judge."""
    return room(section).Policy.model_validate_json(recorded)


def room(section: str) -> ModuleType:
    """Return the module with the Facts, Policy and ``decide`` of ``section``; an unknown one is a UsageError."""
    names = [known.name for known in runbook.SECTIONS]
    if section not in (*names, *RELATED):
        raise UsageError(f"there is no section {section!r}.{nearest(section, names)}")
    package = "retrain.sections.related" if section in RELATED else "retrain.sections"
    return importlib.import_module(f"{package}.{section}")


def _replayed_verdict(recorded: Recorded) -> ReplayedVerdict:
    try:
        today = decided(recorded).model_dump(mode="json")
        found = tuple(differences(recorded.verdict, today))
    except (ValueError, ArithmeticError, UsageError) as error:
        told = " ".join(str(error).split())
        found = (Difference(path="", recorded=recorded.outcome, recomputed=f"cannot be decided again: {told}"),)
    return ReplayedVerdict(
        section=recorded.section,
        attempt=recorded.attempt,
        outcome=recorded.outcome,
        kind=recorded.kind,
        decides_otherwise=any(difference.decides for difference in found),
        differences=found,
    )


def _status(verdicts: Iterable[ReplayedVerdict]) -> Result:
    told = [bool(verdict.differences) for verdict in verdicts]
    return "different" if any(told) else "identical" if told else "empty"


def _recorded(body: Mapping[str, Any], kind: str = "verdict") -> Recorded:
    verdict = dict(body["verdict"])
    section = str(body.get("section", verdict.get("section")))
    return Recorded(section, int(body.get("attempt", 1)), dict(body["facts"]), dict(body["policy"]), verdict, kind)


def _after_swap(body: Mapping[str, Any], opened: Mapping[str, Any]) -> Recorded:
    """Return a smoke test after a swap. Those of 0.1.0 hold no policy: the run's parameters in force are theirs."""
    policy = body["policy"] if "policy" in body else opened["parameters"][_SMOKE_TESTS]
    return _recorded({**body, "section": _SMOKE_TESTS, "policy": policy}, AGAIN)
