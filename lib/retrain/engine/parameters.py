"""Parameter names, checked before a kernel starts: papermill writes them into the notebook as code."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from retrain.errors import UsageError, nearest

__all__ = ["check", "declared"]


def check(notebook: Mapping[str, Any], names: Iterable[str], *, where: str) -> None:
    """Refuse names that are no identifiers, or that the notebook's ``parameters`` cell does not declare.

    ``notebook`` is nbformat 4 as a mapping, ``where`` its name for the message. Raises UsageError.
    """
    given = list(names)
    for name in given:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            message = f"{where}: {str(name)[:80]!r} cannot be a parameter: a name of letters, digits and _ is needed."
            raise UsageError(message)
    if not given:
        return
    known = declared(notebook)
    for name in given:
        if name not in known:
            declares = f"declares {', '.join(known)}" if known else "has no cell tagged `parameters` that declares any"
            raise UsageError(f"{where}: unknown parameter {name!r}; it {declares}.{nearest(name, known)}")


def declared(notebook: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names assigned at the top level of the cells tagged ``parameters``, in order."""
    cells = (cell for cell in notebook.get("cells", []) if "parameters" in cell.get("metadata", {}).get("tags", []))
    return tuple(dict.fromkeys(name for cell in cells for name in _assigned(_source(cell))))


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _assigned(source: str) -> Iterator[str]:
    # Lines of IPython's own (magics, shell escapes) assign nothing here and would not parse.
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
    try:
        body = ast.parse(code).body
    except SyntaxError as error:
        raise UsageError(f"The cell tagged `parameters` is no Python: {error}.") from error
    for statement in body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
