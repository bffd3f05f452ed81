"""The parameters in force: read strictly, typed, consistent, and complained of where a person would look."""

from retrain.settings.model import (
    DEFAULT_ENVIRONMENT,
    RUNBOOK,
    Settings,
    load,
    parameter_names,
    project_root,
    schema,
)

__all__ = ["DEFAULT_ENVIRONMENT", "RUNBOOK", "Settings", "load", "parameter_names", "project_root", "schema"]
