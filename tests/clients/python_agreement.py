"""
Asks posthog-python, of whatever version the path begins with, for the flags of many users.

Reads and prints what ``node_agreement.mjs`` does.
"""

import json
import logging
import sys

from posthog import Posthog

# What it says about definitions that need the server is no news here.
logging.disable()


def ask(host, project):
    client = Posthog(project["token"], host=host, personal_api_key=project["secretKey"], send=False)
    client.load_feature_flags()
    answers = [
        {
            "values": values(client, asker),
            "local": values(client, asker, only_evaluate_locally=True),
        }
        for asker in project["askers"]
    ]
    client.shutdown()
    return answers


def values(client, asker, **options):
    known = {
        "groups": asker["groups"],
        "person_properties": asker["personProperties"],
        "group_properties": asker["groupProperties"],
        **options,
    }
    if not hasattr(client, "evaluate_flags"):
        return client.get_all_flags(asker["distinctId"], **known)
    device_id = asker["personProperties"].get("$device_id")
    flags = client.evaluate_flags(asker["distinctId"], device_id=device_id, **known)
    return {key: flags.get_flag(key) for key in flags.keys}


asked = json.load(sys.stdin)
sys.stdout.write(json.dumps([ask(asked["host"], project) for project in asked["projects"]]))
