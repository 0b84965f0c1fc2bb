"""Reads contracts/sharing/vectors.json."""

import json
from datetime import datetime
from pathlib import Path

PLACE = Path(__file__).parents[3] / "contracts" / "sharing" / "vectors.json"
INSTANTS = ("at", "valid_from", "valid_to", "decided_at")


def _instants(found):
    return {
        name: datetime.fromisoformat(value) if name in INSTANTS and value else value
        for name, value in found.items()
    }


VECTORS = json.loads(PLACE.read_text(encoding="utf-8"), object_hook=_instants)["vectors"]
NAMES = [vector["name"] for vector in VECTORS]
