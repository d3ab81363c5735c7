"""Reads a dashboard with Grafana's own SDK, and prints what its model has not kept: JSON, one fault a line."""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard


def differences(sent, kept, path):
    if isinstance(sent, dict) and isinstance(kept, dict):
        for key, value in sent.items():
            if key in kept:
                yield from differences(value, kept[key], f"{path}/{key}")
            else:
                yield f"{path}/{key} is not known"
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for index, (one, other) in enumerate(zip(sent, kept)):
            yield from differences(one, other, f"{path}/{index}")
    elif sent != kept:
        yield f"{path} is {json.dumps(sent)}, and was read as {json.dumps(kept)}"


plugins.register_default_plugins()
with open(sys.argv[1], encoding="utf-8") as file:
    source = json.load(file)
read = json.loads(JSONEncoder().encode(dashboard.Dashboard.from_json(source)))
for fault in differences(source, read, ""):
    print(json.dumps(fault))
