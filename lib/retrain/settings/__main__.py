"""``python -m retrain.settings`` prints the JSON Schema of a parameter file, for editors."""

import sys

from retrain.settings import schema

if __name__ == "__main__":
    sys.stdout.write(schema())
