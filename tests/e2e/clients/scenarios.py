"""What client scripts share: `script.py SCENARIO [ARGUMENT …]` runs one function and prints its result as one JSON value."""

import json
import sys


def main(scenarios):
    """scenarios: functions by name, each called with the arguments after its name."""
    _, name, *arguments = sys.argv
    json.dump(scenarios[name](*arguments), sys.stdout)
