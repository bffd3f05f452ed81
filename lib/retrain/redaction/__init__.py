"""Takes secrets out of texts before they are written, however they are spelled."""

from retrain.redaction.redactor import SHORTEST, Secrets, weakness

__all__ = ["SHORTEST", "Secrets", "weakness"]
