"""A run's folder: the parameters in force, the journal of what happened, the executed notebooks, the decision.

``records/<model>/runs/<run_id>/`` holds ``parameters.json``, ``journal.jsonl``, one ``.ipynb`` a section and attempt,
and ``decision.json``. Everything that is said of a run later is read from there.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from retrain.checks import Verdict
from retrain.clock import wall
from retrain.errors import UsageError, nearest
from retrain.facts import Effect
from retrain.journal import Entry, Journal
from retrain.settings import Settings

__all__ = ["RunFolder", "create", "find", "newest_open", "runs", "write_atomically"]

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. What it knows it reads from the journal, so two processes see the same."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's id, which is the folder's name."""
        return self.path.name

    @property
    def model(self) -> str:
        """The model's name, which is the name of the folder around the runs."""
        return self.path.parent.parent.name

    @cached_property
    def journal(self) -> Journal:
        """The append-only account of what happened."""
        return Journal(self.path / "journal.jsonl")

    @cached_property
    def settings(self) -> Settings:
        """The parameters in force, as they were when the run was opened."""
        return Settings.model_validate_json((self.path / "parameters.json").read_text(encoding="utf-8"))

    def bodies(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the bodies of all entries of ``kind``, oldest first."""
        return [entry.body for entry in self.journal.entries() if entry.kind == kind]

    @property
    def opened(self) -> Mapping[str, Any]:
        """Who opened the run, when and why; empty where the journal holds no such entry."""
        return next(iter(self.bodies("opened")), {})

    @property
    def closed(self) -> Mapping[str, Any] | None:
        """The last entry, or None while the run is open."""
        return next(iter(self.bodies("closed")), None)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return every verdict in the order it was reached."""
        return tuple(Verdict.model_validate(body["verdict"]) for body in self.bodies("verdict"))

    def latest(self, section: str) -> Mapping[str, Any] | None:
        """Return facts, policy and verdict of the newest verdict of ``section``, or None."""
        told = [body for body in self.bodies("verdict") if body["verdict"]["section"] == section]
        return told[-1] if told else None

    def effects(self) -> tuple[Effect, ...]:
        """Return what became of each effect, in the order they were settled."""
        known = Effect.model_fields
        told = ({name: body[name] for name in known if name in body} for body in self.bodies("outcome"))
        return tuple(Effect.model_validate(effect) for effect in told)

    def unsettled(self) -> list[Entry]:
        """Return the intents that nothing was said about afterwards: what they did is not known."""
        open_intents: dict[tuple[Any, Any], Entry] = {}
        for entry in self.journal.entries():
            about = (entry.body.get("effect"), entry.body.get("target"))
            if entry.kind == "intent":
                open_intents[about] = entry
            elif entry.kind == "outcome":
                open_intents.pop(about, None)
        return list(open_intents.values())

    def notebook(self, name: str) -> Path:
        """Return a path for the notebook ``name`` that does not exist yet: a new attempt is a new file."""
        stem = name.removesuffix(".ipynb")
        attempt, path = 1, self.path / name
        while path.exists():
            attempt += 1
            path = self.path / f"{stem}.attempt-{attempt}.ipynb"
        return path


def create(root: Path, settings: Settings, opened: Mapping[str, Any]) -> RunFolder:
    """Open a run of the settings' model below ``root`` and say in its journal who opened it and why."""
    model = settings.model or ""
    if not _SAFE.fullmatch(model):
        raise UsageError(f"model: {model!r} cannot name a folder; use letters, digits, '-', '_' and '.'")
    path = root / model / "runs" / f"{wall():%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(3)}"
    path.mkdir(parents=True)
    write_atomically(path / "parameters.json", settings.model_dump_json(indent=2) + "\n")
    folder = RunFolder(path)
    folder.journal.append("opened", {**opened, "run_id": folder.run_id, "recorded_at": wall().isoformat()})
    return folder


def runs(root: Path, model: str | None = None) -> Iterator[RunFolder]:
    """Yield the runs below ``root``, of one model or of all, newest first."""
    pattern = f"{model or '*'}/runs/*/journal.jsonl"
    for journal in sorted(root.glob(pattern), key=lambda path: path.parent.name, reverse=True):
        yield RunFolder(journal.parent)


def find(root: Path, run: str) -> RunFolder:
    """Return the run with this id (or the one whose id begins so); ``latest`` is the newest of all."""
    known = {folder.run_id: folder for folder in runs(root)}
    if run == "latest" and known:
        return next(iter(known.values()))
    matches = [folder for run_id, folder in known.items() if run and run_id.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    if len(matches) > 1:
        raise UsageError(f"{len(matches)} runs begin with {run!r}, for example {matches[0].run_id}; say more of it")
    raise UsageError(f"no run {run!r} below {root}.{nearest(run, known)} `retrain runs` lists them.")


def newest_open(root: Path, settings: Settings) -> RunFolder | None:
    """Return the newest run of this model and environment that a person's notebook opened and nobody closed."""
    for folder in runs(root, settings.model):
        opened = folder.opened
        if opened.get("by_notebook") and folder.closed is None and opened.get("world") == settings.world:
            return folder
    return None


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that ``path`` holds either what it held before or all of it, whatever happens between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_json(value: Any) -> str:
    """Return ``value`` as readable JSON; a NaN is refused."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
