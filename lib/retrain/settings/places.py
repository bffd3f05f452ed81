"""Where a project is, the file of an environment's parameters, and its records. Imports next to nothing."""

from __future__ import annotations

import os
from pathlib import Path

from retrain.errors import UsageError, nearest
from retrain.settings import parameters
from retrain.settings.strict_yaml import clipped

__all__ = ["DEFAULT_ENVIRONMENT", "file_of", "project_root", "records_folder", "shown"]

DEFAULT_ENVIRONMENT = "sandbox"
ROOT_VARIABLE = "RETRAIN_HOME"


def project_root(start: Path | None = None) -> Path:
    """Return the folder that has ``parameters`` and ``notebooks``: ``$RETRAIN_HOME``, one above, or the checkout.

    Looks upwards from ``start`` (the working folder by default). Raises UsageError where there is none.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        if not _is_root(Path(named)):
            raise UsageError(f"${ROOT_VARIABLE} is {named}, which has no folders parameters and notebooks")
        return Path(named).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[3]):
        if _is_root(folder):
            return folder
    raise UsageError(
        f"{here} is not in a project: no folder above it has parameters and notebooks. "
        f"Go there, or name it in ${ROOT_VARIABLE}"
    )


def file_of(environment: str, folder: Path) -> Path:
    """Return the parameters file of ``environment``; UsageError, with the nearest name, where there is none."""
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if environment in known:
        return folder / f"{environment}.yaml"
    hint = f"{nearest(environment, known)} There is: {', '.join(known) or 'none'}"
    raise UsageError(f"there is no environment {clipped(environment)!r} in {shown(folder)}.{hint}")


def shown(path: Path) -> str:
    """Return ``path`` as messages call it: from the working folder where it is below."""
    here = Path.cwd()
    return clipped(str(path.relative_to(here) if path.is_relative_to(here) else path), 200)


def records_folder(environment: str | None) -> Path | None:
    """Return the folder that an environment's file plainly names for the records, without reading its policies.

    None where it takes all of the settings to say: another kind of place, or anything wrong with the file.
    """
    file = file_of(environment or DEFAULT_ENVIRONMENT, project_root() / "parameters")
    found = parameters.read(file, is_block=lambda _: False)
    records = found.tree.get("records")
    url = records.get("url") if isinstance(records, dict) else None
    if found.notes.problems or not isinstance(url, str) or not url.strip() or not url.isprintable() or "://" in url:
        return None
    return project_root() / url


def _is_root(folder: Path) -> bool:
    return (folder / "parameters").is_dir() and (folder / "notebooks").is_dir()
