"""PSI where the rows are: histograms come back, rows do not.

The reference window's deciles are exact and frozen in a ``Profile``, which the caller keeps with production; from then
on a check is one scan of the current window that returns one row. Bins are those of ``retrain.statistics.psi``: for a
number x < e1, e1 ≤ x < e2, …, x ≥ ek, where a value that fills more than a decile has a bin of its own; for a text the
commonest categories, and one bin for all others. Each has one more for NULL, and NaN counts as NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from pydantic import Field

from retrain.checks import Evidence, Instant, Model
from retrain.facts import FeatureDrift
from retrain.statistics.psi import edges_from_quantiles, psi
from retrain.warehouse.answers import Answer, Feature
from retrain.warehouse.asker import Asker, ntz
from retrain.warehouse.statements import Sql, quoted, render

__all__ = ["FeatureProfile", "Profile", "WeeklyDrift", "drift_of", "history_of", "profile_of"]

Together = Callable[[Mapping[str, Callable[[], Any]]], dict[str, Any]]

_DECILES = 10
_MOST_CATEGORIES = 50
_MOST_WEEKS = 520
_WEEK = timedelta(days=7)
_NUMBER = "NULLIF(CAST({column} AS FLOAT), CAST('NaN' AS FLOAT)) AS {alias}"
_TEXT = "CAST({column} AS VARCHAR) AS {alias}"
_KNOWN = "COUNT({value}) AS {alias}"
_BELOW = "COUNT_IF({value} < CAST(? AS FLOAT)) AS {alias}"
_EQUAL = "COUNT_IF({value} = CAST(? AS VARCHAR)) AS {alias}"


class FeatureProfile(Model):
    """One feature in the reference window: where its bins are, and how many rows fell in each.

    ``counts`` has one number a bin: len(edges) + 1 for a number, or len(categories) and then all others for a text;
    NULL comes last.
    """

    feature: Feature
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


class Profile(Model):
    """The reference window of every feature, frozen: exact in JSON, so that later checks use the same bins."""

    reference_start: Instant
    reference_end: Instant
    rows: int = Field(ge=0)
    features: tuple[FeatureProfile, ...]


class WeeklyDrift(Model):
    """PSI of every feature in the seven days that end at ``week_end``."""

    week_end: Instant
    rows: int
    drift: tuple[FeatureDrift, ...]


def profile_of(asker: Asker, together: Together, *, since: datetime, until: datetime) -> Answer[Profile]:
    """Return the profile of (since, until]: exact deciles or categories a feature, then one scan for the counts.

    Deciles are asked feature by feature: all at once they would hold every value of every feature in memory.
    """
    features = asker.features()
    asked = together({feature.name: partial(_bins, asker, feature, since, until) for feature in features})
    bins = tuple(asked[feature.name][0] for feature in features)
    rows, evidence = asker.ask("drift_counts", [*_edges(bins), ntz(since), ntz(until)], names=_names(bins))
    counted = tuple(
        profile.model_copy(update={"counts": _counts(profile, index, rows[0])}) for index, profile in enumerate(bins)
    )
    profile = Profile(reference_start=since, reference_end=until, rows=rows[0]["total"], features=counted)
    return Answer(profile, (*(asked[feature.name][1] for feature in features), evidence))


def drift_of(asker: Asker, profile: Profile, *, since: datetime, until: datetime) -> Answer[tuple[FeatureDrift, ...]]:
    """Return the PSI of every feature of ``profile`` in (since, until], in one scan."""
    binds = [*_edges(profile.features), ntz(since), ntz(until)]
    rows, evidence = asker.ask("drift_counts", binds, names=_names(profile.features))
    return Answer(_drift(profile, rows[0]), (evidence,))


def history_of(asker: Asker, profile: Profile, *, since: datetime, until: datetime) -> Answer[tuple[WeeklyDrift, ...]]:
    """Return the PSI of every feature for each week in (since, until], oldest first, in one scan."""
    binds = [*_edges(profile.features), ntz(until), ntz(since), ntz(until), _MOST_WEEKS]
    rows, evidence = asker.ask("drift_history", binds, names=_names(profile.features))
    weeks = tuple(
        WeeklyDrift(week_end=until - int(row["week"]) * _WEEK, rows=row["total"], drift=_drift(profile, row))
        for row in reversed(rows)
    )
    return Answer(weeks, (evidence,))


def _bins(asker: Asker, feature: Feature, since: datetime, until: datetime) -> tuple[FeatureProfile, Evidence]:
    names = {"value": _value(feature, "f")}
    if feature.kind == "text":
        rows, evidence = asker.ask("drift_categories", [ntz(since), ntz(until), _MOST_CATEGORIES], names=names)
        return FeatureProfile(feature=feature, categories=tuple(row["category"] for row in rows)), evidence
    rows, evidence = asker.ask("drift_edges", [ntz(since), ntz(until)], names=names)
    quantiles = [rows[0][f"e{number}"] for number in range(_DECILES + 1)]
    edges = () if None in quantiles else edges_from_quantiles(quantiles)
    return FeatureProfile(feature=feature, edges=edges), evidence


def _value(feature: Feature, alias: str) -> Sql:
    template = _NUMBER if feature.kind == "numeric" else _TEXT
    return render(template, {"column": quoted(feature.column), "alias": Sql(alias)})


def _edges(profiles: Sequence[FeatureProfile]) -> Iterator[float | str]:
    for profile in profiles:
        yield from profile.edges if profile.feature.kind == "numeric" else profile.categories


def _names(profiles: Sequence[FeatureProfile]) -> dict[str, Sequence[Sql]]:
    values = [_value(profile.feature, f"f{index}") for index, profile in enumerate(profiles)]
    counts = [count for index, profile in enumerate(profiles) for count in _count_columns(profile, index)]
    return {"values": values, "counts": counts}


def _count_columns(profile: FeatureProfile, index: int) -> Iterator[Sql]:
    value = Sql(f"f{index}")
    yield render(_KNOWN, {"value": value, "alias": Sql(f"f{index}_known")})
    template, bins = (_BELOW, profile.edges) if profile.feature.kind == "numeric" else (_EQUAL, profile.categories)
    for number in range(len(bins)):
        yield render(template, {"value": value, "alias": Sql(f"f{index}_{number}")})


def _counts(profile: FeatureProfile, index: int, row: Mapping[str, Any]) -> tuple[int, ...]:
    """Turn one row of counts into rows a bin, NULL last."""
    known, missing = row[f"f{index}_known"], row["total"] - row[f"f{index}_known"]
    if profile.feature.kind == "text":
        each = [row[f"f{index}_{number}"] for number in range(len(profile.categories))]
        return (*each, known - sum(each), missing)
    below = [0, *(row[f"f{index}_{number}"] for number in range(len(profile.edges))), known]
    return (*(upper - lower for lower, upper in pairwise(below)), missing)


def _drift(profile: Profile, row: Mapping[str, Any]) -> tuple[FeatureDrift, ...]:
    return tuple(
        FeatureDrift(
            feature=reference.feature.name,
            psi=psi(reference.counts, _counts(reference, index, row)) if profile.rows and row["total"] else None,
            reference_rows=profile.rows,
            current_rows=row["total"],
            bins=len(reference.counts),
        )
        for index, reference in enumerate(profile.features)
    )
