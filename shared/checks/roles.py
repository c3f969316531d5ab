"""The rights that the app's identity needs: the role files of `infra/roles`, which are deployed with the app.

Bicep makes the roles of the same files, and the local Azure enforces them: nothing is listed twice.
"""

import json
from pathlib import Path

from shared.checks.subjects.rights import Right
from shared.process.once import once

ROLES = Path(__file__).resolve().parents[2] / "infra" / "roles"


@once
def app_rights() -> tuple[Right, ...]:
    """Every action of every role file, with the kind of scope that its role is assigned on."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROLES.glob("*.json"))]
    if not files:
        raise FileNotFoundError(f"no role files in {ROLES}: the package of the app is incomplete")
    return tuple(
        Right(
            each["action"],
            role["assignableScope"],
            each["reason"],
            optional=each.get("optional") or each.get("withoutCall") or "",
        )
        for role in files
        for each in role["actions"]
    )
