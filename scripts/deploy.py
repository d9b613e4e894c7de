"""Reads deploy/compose.yaml by the Compose specification: names, types, and that what is referred to is there."""

import re
import sys

import compose_spec

with open(sys.argv[1], encoding="utf-8") as file:
    # Variables are put in by docker compose.
    text = re.sub(r"\$\{[^}]*\}", "variable", file.read())
options = compose_spec.PyOptions()
options.apply_merge = True
options.from_yaml(text).validate()
