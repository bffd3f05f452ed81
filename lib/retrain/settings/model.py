"""The parameters in force: one frozen, typed model, read from ``parameters/<environment>.yaml`` and ``--set``.

Every block of a section is that section's own Policy, so a file, a notebook's parameters cell and a rule share their
names. What is unknown, mistyped, out of range or looks like a secret is refused before anything starts.
``python -m retrain.settings`` prints the JSON Schema that editors use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rfc8785
from pydantic import ConfigDict, Field, ValidationError

from retrain import runbook
from retrain.checks import Model
from retrain.sections.blue_green_deployment import Policy as BlueGreenDeployment
from retrain.sections.decision_record import Policy as DecisionRecord
from retrain.sections.evaluation_gate import Policy as EvaluationGate
from retrain.sections.if_retraining_fails import Policy as IfRetrainingFails
from retrain.sections.post_deploy_monitoring import Policy as PostDeployMonitoring
from retrain.sections.prerequisites import Policy as Prerequisites
from retrain.sections.rollback import Policy as Rollback
from retrain.sections.staging_smoke_tests import Policy as StagingSmokeTests
from retrain.sections.training import Policy as Training
from retrain.sections.when_to_retrain import Policy as WhenToRetrain
from retrain.settings import complaints, consistency, parameters
from retrain.settings.outside import Name, Notebooks, Notifications, Records, Sandbox, Service, Warehouse
from retrain.settings.parameters import Parameters
from retrain.settings.places import DEFAULT_ENVIRONMENT, file_of, project_root, shown
from retrain.settings.strict_yaml import Where, clipped, refusal

__all__ = ["FILE_ONLY", "RUNBOOK", "Settings", "load", "parameter_names", "schema"]

RUNBOOK: Mapping[str, tuple[str, ...]] = {
    "when_to_retrain": ("f1_drop_tolerance", "psi_ceiling", "schedule"),
    "prerequisites": ("minimum_new_samples", "quality_window_hours", "quality_statuses", "blocking_severities"),
    "training": ("model_type", "data_version", "extra_body"),
    "evaluation_gate": (
        "f1_tolerance",
        "auc_roc_tolerance",
        "precision_floor",
        "recall_floor",
        "latency_p99_ceiling_seconds",
    ),
    "staging_smoke_tests": ("sample_predictions", "latency_p99_ceiling_seconds"),
    "post_deploy_monitoring": ("watch_minutes",),
}
"""The figures that the runbook itself states; every other default is the project's choice."""

FILE_ONLY: Mapping[str, tuple[str, ...]] = {
    "when_to_retrain": ("hysteresis_share", "label_delay_days", "f1_minimum_coverage"),
    "post_deploy_monitoring": ("poll_seconds",),
}
"""What stands in the file alone. The parameters cell, read at a glance, leaves it out, and ``start`` shows it."""

_NEEDED: tuple[Where, ...] = (("model",), ("service", "base_url"), ("records", "signing_key"))
"""What has no default outside the sandbox."""

_PACE = frozenset({"poll_seconds", "rows_shown", "remedies"})
"""How often to look, how much to show, and which of the runbook's own remedies: these bend no limit."""


class Settings(Model):
    """Where the outside is, and the policy of each section. Survives a round trip through JSON exactly."""

    model_config = ConfigDict(serialize_by_alias=True)

    environment: Name = Field(description="the name of this file, without .yaml")
    model: Name | None = Field(None, description="the model's name; its records are kept in a folder of this name")
    sandbox: Sandbox | None = Field(None, description="null everywhere but in the sandbox")
    warehouse: Warehouse = Field(default_factory=Warehouse, description="where the tables are")
    service: Service = Field(default_factory=Service, description="where the mlmonitoring service is")
    records: Records = Field(default_factory=Records, description="where the records of runs are kept")
    notebooks: Notebooks = Field(default_factory=Notebooks, description="how the notebooks are executed")
    notifications: Notifications | None = Field(None, description="who is told, or null for nobody")

    when_to_retrain: WhenToRetrain = Field(default_factory=WhenToRetrain)
    prerequisites: Prerequisites = Field(default_factory=Prerequisites)
    training: Training = Field(default_factory=Training)
    evaluation_gate: EvaluationGate = Field(default_factory=EvaluationGate)
    staging_smoke_tests: StagingSmokeTests = Field(default_factory=StagingSmokeTests)
    blue_green_deployment: BlueGreenDeployment = Field(default_factory=BlueGreenDeployment)
    post_deploy_monitoring: PostDeployMonitoring = Field(default_factory=PostDeployMonitoring)
    rollback: Rollback = Field(default_factory=Rollback)
    if_retraining_fails: IfRetrainingFails = Field(default_factory=IfRetrainingFails)
    decision_record: DecisionRecord = Field(default_factory=DecisionRecord)

    def policy(self, section: str) -> Model:
        """Return the policy of ``section``, by its name or number; an unknown one is a UsageError."""
        policy: Model = getattr(self, runbook.section(section).name)
        return policy

    @property
    def world(self) -> str | None:
        """The sandbox's world that the run belongs to, or None outside the sandbox."""
        return self.sandbox.world if self.sandbox is not None else None

    @property
    def digest(self) -> str:
        """The SHA-256, in hexadecimal, of the policies' RFC 8785 JSON."""
        policies = {known.name: self.policy(known.name).model_dump(mode="json") for known in runbook.SECTIONS}
        return hashlib.sha256(rfc8785.dumps(policies)).hexdigest()

    def deviations_from_runbook(self) -> tuple[str, ...]:
        """Return a sentence for each policy figure that is not its default, the runbook's own or ours."""
        return tuple(sentence for known in runbook.SECTIONS for sentence in self._deviations(known.name))

    def _deviations(self, section: str) -> list[str]:
        policy = self.policy(section)
        told = []
        for name, field in type(policy).model_fields.items():
            value, default = getattr(policy, name), field.get_default(call_default_factory=True)
            if value != default and name not in _PACE:
                says = "the runbook says" if name in RUNBOOK.get(section, ()) else "the default is"
                is_now, was = complaints.written(value), complaints.written(default)
                told.append(f"{section}.{name} is {is_now}; {says} {was}")
        return told

    def changed(self, values: Mapping[str, Any], *, source: str) -> Settings:
        """Return settings with ``values`` (dotted name → value) put over these, refused as a file's would be.

        ``source`` is how messages call the place that the values came from, such as "the parameters cell".
        """
        found = Parameters(source, self.model_dump(mode="json"))
        for name, value in values.items():
            found.replace(where := tuple(name.split(".")), value, source)
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                found.replace(where, None, source)
                found.complain(where, f"is {clipped(repr(value))}: it must be text, a finite number, a list or a block")
        return _validated(found)


def load(
    environment: str | None = None,
    *,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    root: Path | None = None,
) -> Settings:
    """Read the parameters of ``environment`` (the sandbox's by default), or of ``file``, and the assignments over them.

    Raises UsageError with one message that tells everything that is wrong: file, line, name, and what to write.
    """
    if file is None:
        environment = DEFAULT_ENVIRONMENT if environment is None else environment
        file = file_of(environment, (root or project_root()) / "parameters")
    found = parameters.read(
        file,
        shown=shown(file),
        assignments=assignments,
        is_block=lambda where: complaints.block_at(Settings, where) is not None,
    )
    written = found.tree.get("environment")
    if environment is not None and isinstance(written, str) and written != environment:
        found.complain(("environment",), f"is {written}, but {environment} was asked for: is this the right file?")
    return _validated(found)


def parameter_names(section: str) -> tuple[str, ...]:
    """Return the names of the parameters of ``section``, as its block in a file must have them."""
    known = runbook.section(section).name
    return tuple(Settings.model_fields[known].get_default(call_default_factory=True).__class__.model_fields)


def schema() -> str:
    """Return the JSON Schema of a parameter file, as ``parameters/schema.json`` holds it."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
    return json.dumps(made | {"title": "Parameters of retrain"}, indent=2, ensure_ascii=False) + "\n"


def _validated(found: Parameters) -> Settings:
    settings = None
    try:
        settings = Settings.model_validate_json(json.dumps(found.tree), strict=True)
    except ValidationError as error:
        complaints.complain(error, found, Settings)
    _demand_what_production_needs(found)
    if settings is not None and not found.notes.problems:
        consistency.complain(settings, found)
    if settings is None or found.notes.problems:
        raise refusal(found.notes.problems)
    return settings


def _demand_what_production_needs(found: Parameters) -> None:
    if found.tree.get("sandbox") is not None:
        return
    for where in _NEEDED:
        value: Any = found.tree
        for name in where:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            means = complaints.meaning(Settings, where)
            found.complain(where, f"is not set, and must be filled in outside the sandbox: {means}")
