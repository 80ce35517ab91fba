"""How lines of the audit log are sealed, so that a change without the key shows."""

import json

from applinks.crypto import Place, keyed_digest


def seal(key: bytes, *parts: str | int) -> str:
    """A seal over parts of which none can run into the next."""
    return keyed_digest(key, json.dumps(parts))


def event_key_place(instance_id: str) -> Place:
    """Where the key of the audit log is kept."""
    return Place("instance", instance_id, "event_key")
