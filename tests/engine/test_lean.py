"""The import that is put off changes nothing but the time it takes."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
import sys
from retrain.engine.lean import import_jsonschema
import_jsonschema()
import jsonschema
assert "rfc3987_syntax.syntax_helpers" not in sys.modules and "rfc3987_syntax" not in sys.modules
checker = jsonschema.FormatChecker()
print(checker.conforms("http://example.org/ä", "iri"), checker.conforms("no iri", "iri"))
import_jsonschema()
import rfc3987_syntax
print(rfc3987_syntax.is_valid_syntax("iri", "http://example.org"))
"""


def test_the_grammar_is_built_when_it_is_needed() -> None:
    """jsonschema checks IRIs as before, and the module itself can be imported as before."""
    answer = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "False", "True"]


def test_the_package_itself_is_light() -> None:
    """Importing the engine imports neither papermill nor nbformat nor jupyter_client."""
    code = "import sys, retrain.engine; print({'papermill', 'nbformat', 'jupyter_client', 'zmq'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
