"""What the cells of a notebook call: ``start()`` joins a run or opens one, and the ``Run`` shows and records.

The only importer of IPython. A scrap is glued in scrapbook's own format without importing scrapbook, which takes about
a second; ``scrapbook.read_notebooks`` reads it on the other side.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import Markdown, display

from retrain import environment, runbook, tables
from retrain.checks import Model, Verdict
from retrain.clock import Clock
from retrain.errors import RetrainError
from retrain.facts import Effect
from retrain.ledger import TakenOver
from retrain.literal import literal
from retrain.record.joining import Joined, join
from retrain.record.opening import NOTEBOOK_VARIABLE
from retrain.record.provenance import actor
from retrain.record.records import RunFolder
from retrain.redaction.kernel import guard
from retrain.secrets import Secrets, gather
from retrain.settings import FILE_ONLY, Settings

if TYPE_CHECKING:
    from retrain.effects import Act
    from retrain.service.client import Service
    from retrain.warehouse import Answer, Production, Warehouse

__all__ = ["Run", "glue", "live", "show", "start"]

RELATED = ("model_drift", "data_quality")
_MESSAGE = 4000  # characters of an error that an entry of the record holds


@dataclass(frozen=True)
class Run:
    """A run, as the cells of one section see it."""

    section: str
    joined: Joined
    policy: Any
    clock: Clock
    now: datetime
    attempt: int
    performed: list[Effect] = field(default_factory=list)

    @property
    def folder(self) -> RunFolder:
        """The run's record, to read."""
        return self.joined.folder

    @property
    def settings(self) -> Settings:
        """The parameters in force."""
        return self.folder.settings

    @property
    def model(self) -> str:
        """The model's name in the warehouse and in the record."""
        return self.folder.model

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse; it connects when it is first asked, and its first query names the newest entry as well."""
        warehouse = environment.warehouse(self.settings, run_id=self.folder.run_id)
        warehouse.at_entry(self.joined.ledger.newest)
        return warehouse

    @cached_property
    def service(self) -> Service:
        """The mlmonitoring service."""
        return environment.service(self.settings, redact=self.secrets.redact)

    @cached_property
    def secrets(self) -> Secrets:
        """What may not leave this process."""
        return gather(self.settings)

    @cached_property
    def production(self) -> Answer[Production | None]:
        """The newest promotion of this model in the warehouse: its baseline and the data it was trained on."""
        return self.warehouse.production(self.model)

    @cached_property
    def swapper(self) -> RunFolder:
        """The run whose swap a roll back undoes: the one that a person named, or this one."""
        named = self.folder.opened.get("undoes")
        return self.folder.sibling(str(named)) if named else self.folder

    def outcome(self, section: str) -> str | None:
        """Return the newest outcome of another section in this run, or None."""
        told = self.folder.latest(section)
        return None if told is None else str(told["verdict"]["outcome"])

    def facts(self, section: str) -> Any:
        """Return the newest facts of another section in this run, or None."""
        told = self.folder.latest(section)
        return None if told is None else _room(section).Facts.model_validate(told["facts"])

    def say(self, kind: str, **body: Any) -> None:
        """Append an entry to the run's record; queries from here on are tagged with its number."""
        number = self.joined.ledger.append(kind, body)
        if "warehouse" in self.__dict__:
            self.warehouse.at_entry(number)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Record the wall seconds that are spent inside, waiting for somebody else."""
        if what == "warehouse":
            importlib.import_module("retrain.warehouse.driver")  # not the warehouse's time
        began = self.clock.monotonic()
        try:
            yield
        finally:
            self.say("waited", what=what, seconds=round(self.clock.monotonic() - began, 3))

    def cut_short(self, effect: str) -> Mapping[str, Any] | None:
        """Return the intent of an effect that an earlier process may have sent, until it is taken up again here."""
        if self.performed:
            return None
        told = [entry for entry in self.folder.entries() if entry.body.get("effect") == effect]
        intents = [entry for entry in told if entry.kind == "intent"]
        left = [
            entry.body["never_left"] for entry in told if entry.kind == "sent" and entry.number > intents[-1].number
        ]
        return intents[-1].body if intents and True not in left else None

    def perform(self, act: Act) -> Effect:
        """Send an effect at most once and show what became of it."""
        from retrain.effects import ModelLock, perform

        # the chain keeps other runs out; the lock, two notebooks of one run on this machine
        lock = ModelLock(self.folder.path.parents[2] / ".locks" / f"{self.model}.lock")
        effect = perform(act, record=self.joined.ledger, clock=self.clock, lock=lock)
        self.say(
            "effect", effect=effect.model_dump(mode="json"), section=self.section, now=self.clock.now().isoformat()
        )
        self.performed.append(effect)
        show([effect])
        return effect

    def record(self, facts: Model) -> Verdict:
        """Decide, show the verdict, and keep facts, policy and verdict in the record and as scraps."""
        verdict: Verdict = _room(self.section).decide(facts, self.policy)
        kept = {
            "facts": facts.model_dump(mode="json"),
            "policy": self.policy.model_dump(mode="json"),
            "verdict": verdict.model_dump(mode="json"),
        }
        self.say(
            "verdict", section=self.section, attempt=self.attempt, notebook=os.environ.get(NOTEBOOK_VARIABLE), **kept
        )
        for name, value in kept.items():
            glue(name, value)
        display(_page(tables.verdict(verdict, _leads_to(self, verdict))))
        if self.section == runbook.LAST:
            for warning in self.joined.end(verdict.outcome):
                show(warning)
        return verdict


def start(section: str, namespace: Mapping[str, Any]) -> Run:
    """Join the run that is open, or open one, and show at the top what is in force.

    ``namespace`` is the notebook's ``globals()``: a value that its parameters cell or the command line changed from the
    policy's default goes before the parameters file. The runner's kernels join the run that it names; a notebook alone
    joins ``run_id``, else the newest run that a person's notebook left open, else opens its own (``run_id = "new"``
    always does).
    """
    joined = join(namespace, section)
    folder = joined.folder
    clock = environment.clock(folder.settings)
    policy, deviations = _policy(section, folder, namespace)
    now = datetime.fromisoformat(folder.opened["now"])
    attempt = 1 + sum(verdict.outcome == "retry" for verdict in folder.verdicts())
    run = Run(section=section, joined=joined, policy=policy, clock=clock, now=now, attempt=attempt)
    _keep_secrets_in(run)
    run.say("section_started", section=section, attempt=attempt, actor=actor())
    for deviation in deviations:
        run.say("deviation", deviation=deviation)
    _report_errors(run)
    display(_page("\n\n".join([_header(run), *map(literal, joined.warnings)])))
    return run


def show(values: Any, *, shown: int = 10, empty: str = "none") -> None:
    """Show a verdict with its evidence, models or mappings as a table, text as it stands, the rest as IPython does.

    Text is never Markdown: whoever said it, a service or a person, does not lay out this page.
    """
    if isinstance(values, str | Verdict):
        display(_page(literal(values) if isinstance(values, str) else tables.checked(values)))
    elif isinstance(values, Iterable) and not hasattr(values, "_repr_png_"):
        display(_page(tables.table(values, shown=shown, empty=empty)))
    else:
        display(values)


def live() -> Callable[[Any], None]:
    """Return a function that shows a value in one place, each time in place of the last; text as it stands."""
    handle = display(_page("…"), display_id=True)
    return lambda value: handle.update(_page(literal(value)) if isinstance(value, str) else value)


def glue(name: str, data: dict[str, Any]) -> None:
    """Glue ``data`` (a JSON object) under ``name`` in the format of scrapbook's JSON encoder."""
    payload = {"name": name, "data": data, "encoder": "json", "version": 1}
    told = {"scrapbook": {"name": name, "data": True, "display": False}}
    display({"application/scrapbook.scrap.json+json": payload}, metadata=told, raw=True)


def _page(source: str) -> Markdown:
    """Return Markdown to display: of a text that is an address or a path IPython would fetch or read what is there."""
    page = Markdown("")
    page.data = source
    return page


def _room(section: str) -> ModuleType:
    package = "retrain.sections.related" if section in RELATED else "retrain.sections"
    return importlib.import_module(f"{package}.{section}")


def _policy(section: str, folder: RunFolder, namespace: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return the policy in force in this notebook, and how it differs from that of the run."""
    kind = _room(section).Policy
    plain = kind().model_dump(mode="json")
    given = {name: namespace[name] for name in kind.model_fields if name in namespace}
    changed = {name: value for name, value in given.items() if value != plain[name]}
    if section in RELATED:
        return kind.model_validate(changed), []
    in_force = folder.settings.policy(section)
    dotted = {f"{section}.{name}": value for name, value in changed.items()}
    policy = folder.settings.changed(dotted, source="the parameters cell").policy(section)
    told = [
        f"{section}.{name} was set in the notebook to {getattr(policy, name)};"
        f" the parameters in force say {getattr(in_force, name)}"
        for name in changed
        if getattr(policy, name) != getattr(in_force, name)
    ]
    return policy, told


def _header(run: Run) -> str:
    settings, opened = run.settings, run.folder.opened
    loud = "**This is the sandbox: nothing here touches production.**" if settings.sandbox else (
        "**PRODUCTION: what this notebook changes, it changes for real.**"
    )  # fmt: skip
    commit = (opened.get("commit") or "no commit")[:12] + (" (with local changes)" if opened.get("dirty") else "")
    facts = {
        "environment": settings.environment,
        "model": run.model,
        "run": run.folder.run_id,
        "attempt": run.attempt,
        "now (UTC)": f"{run.clock.now():%Y-%m-%d %H:%M:%S}",
        "run opened at": f"{run.now:%Y-%m-%d %H:%M:%S}",
        "actor": actor(),
        "commit": commit,
        "policy": settings.digest[:12],
        **{name.replace("_", " "): getattr(run.policy, name) for name in FILE_ONLY.get(run.section, ())},
    }
    lines = [{"": f"**{name}**", " ": tables.plain(value)} for name, value in facts.items()]
    rows = "\n".join(f"| {line['']} | {line[' ']} |" for line in lines)
    return f"{loud}\n\n| | |\n| --- | --- |\n{rows}"


def _leads_to(run: Run, verdict: Verdict) -> str:
    if run.section == runbook.LAST or run.section in RELATED:
        return ""
    after = runbook.section(runbook.following(verdict, on_inconclusive=_on_inconclusive(run)))
    return f"**Next:** {after.title}: `retrain step {after.name} --run {run.folder.run_id}`"


def _on_inconclusive(run: Run) -> str:
    return run.settings.post_deploy_monitoring.on_inconclusive


def _keep_secrets_in(run: Run) -> None:
    """Let no secret leave the kernel from here on, whoever keeps its outputs: a runner, papermill or a browser."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is not None:
        guard(kernel.session, run.secrets)


def _report_errors(run: Run) -> None:
    """Make an error of retrain's read as one sentence, and keep it in the record."""
    shell = get_ipython()
    if shell is None:
        return

    def told(
        shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: int | None = None
    ) -> list[str]:
        message = run.secrets.redact(str(error))[:_MESSAGE]
        with suppress(TakenOver):  # the run has ended: what is shown here is no part of it any more
            run.say("error", section=run.section, error=kind.__name__, message=message, exit_code=error.exit_code)  # type: ignore[attr-defined]
        lines = [f"{kind.__name__}: {error}"]
        shell._showtraceback(kind, error, lines)
        return lines

    shell.set_custom_exc((RetrainError,), told)
