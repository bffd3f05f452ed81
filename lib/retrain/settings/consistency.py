"""What parameters must be to each other, beyond the type and range that each has alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rfc8785

from retrain import runbook
from retrain.settings.parameters import Parameters
from retrain.settings.strict_yaml import Where, clipped

if TYPE_CHECKING:
    from retrain.settings import Settings

__all__ = ["complain"]

_FREE = frozenset({"extra_body", "body"})
"""Blocks that are sent as they are: no type says there whether 1.10 is a figure or a version."""


def complain(settings: Settings, parameters: Parameters) -> None:
    """Add to ``parameters`` a complaint for whatever does not fit together."""
    for found in (
        _lists(settings),
        _bodies(settings),
        _incident(settings, parameters),
        _free(parameters),
    ):
        for where, says in found:
            parameters.complain(where, says)
    try:
        settings.digest  # noqa: B018 - what RFC 8785 cannot tell could not be recorded
    except rfc8785.CanonicalizationError as error:
        parameters.complain((), f"hold a value that cannot be recorded: {error}")


def _lists(settings: Settings) -> Iterator[tuple[Where, str]]:
    for section in runbook.SECTIONS:
        for name, value in settings.policy(section.name):
            entries = value if isinstance(value, tuple) else (value,)
            texts = [entry for entry in entries if isinstance(entry, str)]
            if any(text != text.strip() or not text.isprintable() or not text for text in texts):
                yield (section.name, name), "has a text that is empty or has blanks around it"
            twice = [text for text, times in Counter(texts).items() if times > 1]
            if twice:
                yield (section.name, name), f"holds {clipped(twice[0])!r} more than once"


def _bodies(settings: Settings) -> Iterator[tuple[Where, str]]:
    for name in sorted({"model_type", "data_version"} & set(settings.training.extra_body)):
        yield ("training", "extra_body", name), f"is set twice: set training.{name} instead"
    seen: set[str] = set()
    for cause, remedies in settings.if_retraining_fails.remedies.items():
        where = ("if_retraining_fails", "remedies", cause)
        for position, remedy in enumerate(remedies):
            if not remedy.body:
                yield (*where, position), f"({remedy.name}) has an empty body, which changes nothing"
            if not remedy.name.strip() or remedy.name in seen:
                yield (*where, position), f"needs a name of its own, and has {clipped(remedy.name)!r}"
            seen.add(remedy.name)


def _incident(settings: Settings, parameters: Parameters) -> Iterator[tuple[Where, str]]:
    severity = settings.if_retraining_fails.incident_severity
    if severity.casefold() in {blocking.casefold() for blocking in settings.prerequisites.blocking_severities}:
        opens, blocks = ("if_retraining_fails", "incident_severity"), ("prerequisites", "blocking_severities")
        where, other = (opens, blocks) if opens in parameters.notes.places else (blocks, opens)
        yield (
            where,
            f"has {severity}, as has {'.'.join(other)}: the incident of a failed run would block every later run",
        )


def _free(parameters: Parameters) -> Iterator[tuple[Where, str]]:
    for where, place in parameters.notes.places.items():
        raw = place.raw or ""
        if not place.quoted and _FREE & set(where[:-1]) and re.fullmatch(r"[-+]?[0-9]+\.[0-9]+0", raw):
            yield where, f'is {raw}: write "{raw}" in quotes for the text, or {raw.rstrip("0")} for the number'
