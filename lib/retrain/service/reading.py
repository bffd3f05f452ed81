"""Reads what a service answered, defensively: pure functions from bytes and JSON to figures, names and notes.

What is missing, strange, out of range or of the wrong type becomes None, and a note says so; nothing is guessed into
something good. Names are compared without case and punctuation: ``F1``, ``f1_score`` and ``F1-Score`` are one figure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from retrain.facts import Metrics

__all__ = [
    "QUALITY",
    "bounded",
    "comparison",
    "figure",
    "first",
    "is_page",
    "metrics",
    "parse",
    "plain",
    "text",
    "whole_number",
]

DEPTH, ITEMS, CHARACTERS, KEPT = 20, 1_000, 4_000, 200_000
"""How much of an answer is kept: levels, items in one list or object, characters in one string, and in all."""

_LARGEST_INTEGER = 2**53 - 1  # a larger one is not the same number in every reader of JSON
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)

QUALITY = ("f1", "auc_roc", "precision", "recall")
"""The figures that the runbook compares with production's."""

_SPELLINGS = {
    "f1": ("f1", "f1score", "fscore", "f1measure"),
    "auc_roc": ("aucroc", "rocauc", "auc", "auroc", "rocaucscore", "aucscore", "areaunderroc"),
    "precision": ("precision", "precisionscore", "ppv"),
    "recall": ("recall", "recallscore", "sensitivity", "tpr", "truepositiverate"),
    "tp": ("tp", "truepositives", "truepositive"),
    "fp": ("fp", "falsepositives", "falsepositive"),
    "fn": ("fn", "falsenegatives", "falsenegative"),
    "tn": ("tn", "truenegatives", "truenegative"),
}
_NAMES = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}
_SECONDS = {"latencyp99seconds", "latencyp99s", "latencyp99", "p99latencyseconds", "p99latencys", "p99latency"}
_MILLISECONDS = {"latencyp99ms", "latencyp99milliseconds", "p99latencyms", "p99latencymilliseconds", "p99ms"}
_ROLES = {
    "delta": ("delta", "deltas", "difference", "differences", "diff", "diffs", "change", "changes"),
    "production": ("production", "prod", "current", "incumbent", "baseline"),
    "candidate": ("candidate", "new"),
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
_VERSIONS = ("model_version", "version", "production_version", "candidate_version")


def parse(body: bytes) -> tuple[Any, str | None]:
    """Return ``(value, None)`` of a JSON body, or ``(None, why)``. NaN and infinities are read as null."""
    if not body.strip():
        return None, "the answer is empty"
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: None, parse_float=_finite)
        return (value, None) if _is_shallow(value) else (None, "the answer's JSON is nested too deeply")
    except RecursionError:
        return None, "the answer's JSON is nested too deeply"
    except ValueError as error:
        page = "the answer is a page of HTML, not JSON" if is_page(body) else ""
        return None, page or f"the answer is not JSON ({str(error)[:120]})"


def is_page(body: bytes, content_type: str = "") -> bool:
    """Tell whether an answer is a page meant for a browser."""
    return "html" in content_type.lower() or body.lstrip()[:1] == b"<"


def _is_shallow(value: Any) -> bool:
    """Tell whether no more than ``DEPTH`` levels are nested, without recursion of its own."""
    level = [value]
    for _ in range(DEPTH + 1):
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [item for items in inner for item in items]
    return not level


def _finite(literal: str) -> float | None:
    value = float(literal)
    return value if math.isfinite(value) else None


def bounded(value: Any, depth: int = DEPTH) -> Any:
    """Return ``value`` cut to a size that an entry can hold: depth, items, lengths, integers, valid characters, all."""
    return _bounded(value, depth, _Room())


@dataclass
class _Room:
    """What is left to be kept of one answer, in characters."""

    left: int = KEPT

    def take(self, size: int) -> bool:
        self.left -= size
        return self.left >= 0


def _bounded(value: Any, depth: int, room: _Room) -> Any:
    if isinstance(value, dict | list):
        return _inside(value, depth, room) if depth else "… (deeper levels were not kept)"  # it came not by parse
    if isinstance(value, float):
        value = value if math.isfinite(value) else None
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_INTEGER:
        value = str(value)[:40] if abs(value) < 10**40 else "…"
    kept = _clean(value) if isinstance(value, str) else value
    return kept if room.take(len(str(kept)) + 1) else "… (not kept)"


def _inside(value: Any, depth: int, room: _Room) -> Any:
    """Return the items of a list or an object as far as there is room for them."""
    named = value.items() if isinstance(value, dict) else (("", item) for item in value)
    kept = []
    for name, item in islice(named, ITEMS):
        if not room.take(len(told := _clean(str(name))) + 1):
            break
        kept.append((told, _bounded(item, depth - 1, room)))
    return dict(kept) if isinstance(value, dict) else [item for _, item in kept]


def _clean(value: str) -> str:
    return value[:CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def plain(name: object) -> str:
    """Return a name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def first(value: Any, *names: str) -> Any:
    """Return the first of ``names`` that the JSON object ``value`` holds and that is not null, or None."""
    if not isinstance(value, Mapping):
        return None
    held = {plain(name): item for name, item in value.items()}
    return next((held[plain(name)] for name in names if held.get(plain(name)) is not None), None)


def text(value: Any) -> str | None:
    """Return a string (or a number, as its digits) with no spaces around it, or None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return _clean(str(value)).strip() or None


def figure(value: Any, name: str, notes: list[str], *, low: float = 0.0, high: float = math.inf) -> float | None:
    """Return a finite number in [low, high], also from a string that is one, or None with a note."""
    if value is None:
        return None
    number = _number(value)
    if number is None:
        notes.append(f"{name}: {str(value)[:60]!r} is no number; not used")
    elif not low <= number <= high:
        notes.append(f"{name}: {number} is outside [{low:g}, {high:g}]; not used")
        return None
    return number


def _number(value: Any) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None  # NaN and infinities fail the comparison too


def whole_number(value: Any, name: str, notes: list[str]) -> int | None:
    """Return a count (an integer of at least 0), or None with a note."""
    number = figure(value, name, notes, high=_LARGEST_INTEGER)
    if number is None or number == int(number):
        return None if number is None else int(number)
    notes.append(f"{name}: {number} is no whole number; not used")
    return None


def metrics(value: Any, notes: list[str], *, where: str) -> Metrics | None:
    """Read a model's figures from a JSON object, or None where it holds none. Latency is turned into seconds."""
    if not isinstance(value, Mapping):
        if value is not None:
            notes.append(f"{where}: an object was expected, {_kind(value)} came")
        return None
    found: dict[str, list[float | None]] = {}
    for name, item in _flat(value):
        known = _NAMES.get(plain(name))
        if known is not None:
            found.setdefault(known, []).append(_metric(known, item, f"{where}.{name}", notes))
        elif plain(name) in _SECONDS | _MILLISECONDS:
            found.setdefault("latency_p99_seconds", []).append(_latency(name, item, where, notes))
    read = {name: _agreed(values, f"{where}.{name}", notes) for name, values in found.items()}
    if all(number is None for number in read.values()):
        notes.append(f"{where}: no figure that is known")
        return None
    return Metrics.model_validate({**read, "version": text(first(value, *_VERSIONS))})


def _flat(value: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield the figures of an object, those of a nested confusion matrix and latency among them."""
    for name, item in value.items():
        inner = plain(name)
        if isinstance(item, Mapping) and inner in ("confusionmatrix", "confusion", "counts"):
            yield from item.items()
        elif isinstance(item, Mapping) and inner in ("latency", "latencyseconds", "latencyms"):
            yield inner.replace("latency", "latency_p99"), first(item, "p99", "p99_seconds")
        else:
            yield name, first(item, "value", "mean", "score") if isinstance(item, Mapping) else item


def _metric(known: str, item: Any, where: str, notes: list[str]) -> float | int | None:
    if known in ("tp", "fp", "fn", "tn"):
        return whole_number(item, where, notes)
    return figure(item, where, notes, high=1.0)


def _latency(name: str, item: Any, where: str, notes: list[str]) -> float | None:
    number = figure(item, f"{where}.{name}", notes)
    return number / 1000 if number is not None and plain(name) in _MILLISECONDS else number


def _agreed(values: list[float | None], where: str, notes: list[str]) -> float | None:
    """Return the one figure that all spellings of a name agree on."""
    told = {value for value in values if value is not None}
    if len(told) > 1:
        notes.append(f"{where}: told more than once, as {sorted(told)}; not used")
        return None
    return next(iter(told), None)


def comparison(value: Any, notes: list[str]) -> tuple[Metrics | None, dict[str, float | None]]:
    """Read ``comparison``: production's figures (or None), and candidate − production by figure.

    Forms that are understood: ``{"f1": 0.01}``, ``{"f1_delta": 0.01}``, ``{"production_f1": 0.88}``,
    ``{"production": {…}, "delta": {…}}`` and ``{"f1": {"production": 0.88, "delta": 0.01}}``.
    """
    if not isinstance(value, Mapping):
        if value is not None:
            notes.append(f"comparison: an object was expected, {_kind(value)} came")
        return None, {}
    production: dict[str, Any] = {}
    deltas: dict[str, list[float | None]] = {}
    for role, known, item in _told(value):
        if role == "production":
            production[known] = item
        elif role in ("delta", "bare"):
            deltas.setdefault(known, []).append(_delta(role, known, item, notes))
    whole = first(value, *_ROLES["production"])
    figures = {**(whole if isinstance(whole, Mapping) else {}), **production}
    read = metrics(figures, notes, where="comparison.production") if figures else None
    version = text(first(value, "production_version")) or (read.version if read else None)
    named = {known: _agreed(values, f"comparison.{known}", notes) for known, values in deltas.items()}
    return (read.model_copy(update={"version": version}) if read else None), named


def _told(value: Mapping[str, Any]) -> Iterable[tuple[str, str, Any]]:
    """Yield (role, figure, value) for each figure of a comparison, whichever way it is written."""
    for name, item in value.items():
        role = _ROLE_OF.get(plain(name))
        if role == "delta" and isinstance(item, Mapping):
            yield from (("delta", known, inner) for _, known, inner in _told(item) if known in QUALITY)
        elif role is None:
            role, known = _role_and_figure(name)
            if known is not None and isinstance(item, Mapping):
                yield from ((_ROLE_OF[plain(word)], known, v) for word, v in item.items() if plain(word) in _ROLE_OF)
            elif known is not None:
                yield role, known, item


def _role_and_figure(name: str) -> tuple[str, str | None]:
    words = plain(name)
    if words in _NAMES:
        return "bare", _NAMES[words] if _NAMES[words] in QUALITY else None
    for word, role in _ROLE_OF.items():
        for rest in (words.removeprefix(word), words.removesuffix(word)):
            if rest != words and _NAMES.get(rest) in QUALITY:
                return role, _NAMES[rest]
    return "bare", None


def _delta(role: str, known: str, item: Any, notes: list[str]) -> float | None:
    number = figure(item, f"comparison.{known}", notes, low=-1.0, high=1.0)
    if role == "bare" and number is not None and abs(number) > 0.5:
        notes.append(f"comparison.{known}: {number} reads like a figure, not like a difference; not used")
        return None
    return number


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", bool: "a boolean"}.get(type(value), "a number")
