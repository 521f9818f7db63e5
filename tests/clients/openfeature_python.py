"""
Asks OpenFeature's SDK by its OFREP provider.

Reads and prints what ``openfeature_node.mjs`` does.
"""

import json
import logging
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

# What it says about flags that there are not is no news here.
logging.disable()
given = json.load(sys.stdin)
api.set_provider(OFREPProvider(given["url"], headers_factory=lambda: dict(given["headers"])))
client = api.get_client()


def answer(asked):
    attributes = dict(asked["context"])
    context = EvaluationContext(attributes.pop("targetingKey", None), attributes)
    ask = getattr(client, f"get_{asked['type']}_details")
    details = ask(asked["key"], asked["fallback"], context)
    return {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "errorCode": details.error_code,
        "metadata": details.flag_metadata,
    }


sys.stdout.write(json.dumps(list(map(answer, given["asked"]))))
