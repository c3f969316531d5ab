"""The request journal: every request to ARM, in order, with its answer, also when that was never sent."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from typing import Any

from local.azure.store import Json, Store

_WORTH_COMPRESSING = 1000
_NOT_KEPT = frozenset({"authorization", "x-identity-header"})


def _packed(text: str) -> bytes:
    raw = text.encode()
    return b"z" + zlib.compress(raw, 1) if len(raw) > _WORTH_COMPRESSING else b"r" + raw


def _unpacked(blob: bytes | None) -> Any:
    if blob is None:
        return None
    raw = zlib.decompress(blob[1:]) if blob[:1] == b"z" else blob[1:]
    text = raw.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


class Journal:
    """Written in the request's own transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        *,
        method: str,
        path: str,
        query: str,
        api_version: str | None,
        request_headers: dict[str, str],
        request: str | None,
        status: int,
        headers: dict[str, str],
        response: str | None,
        dropped: bool = False,
        principal: str | None = None,
        needs: list[Json] | None = None,
    ) -> None:
        """One request and its answer."""
        kept = {name: value for name, value in request_headers.items() if name not in _NOT_KEPT}
        self._store.db.execute(
            "INSERT INTO journal (time, method, path, query, api_version, request_headers, request, status, headers, "
            "response, dropped, principal, needs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                datetime.now(UTC).isoformat(),
                method,
                path,
                query,
                api_version,
                json.dumps(kept),
                _packed(request) if request else None,
                status,
                json.dumps(headers),
                _packed(response) if response else None,
                int(dropped),
                principal,
                json.dumps(needs or []),
            ),
        )

    def entries(self, after: int = 0, method: str | None = None, path: str | None = None) -> list[Json]:
        """What was asked and answered, oldest first. `path` is a part of the path."""
        rows = self._store.db.execute(
            "SELECT n, time, method, path, query, api_version, request, status, headers, response, request_headers, "
            "dropped, principal, needs FROM journal WHERE n > ? AND (? IS NULL OR method = ?) AND (? IS NULL OR instr(lower(path), ?)) "
            "ORDER BY n",
            (after, method, method, path, (path or "").lower()),
        )
        return [
            {
                "n": row[0],
                "time": row[1],
                "method": row[2],
                "path": row[3],
                "query": row[4],
                "api_version": row[5],
                "request": _unpacked(row[6]),
                "status": row[7],
                "headers": json.loads(row[8]),
                "response": _unpacked(row[9]),
                "request_headers": json.loads(row[10]),
                "dropped": bool(row[11]),
                "principal": row[12],
                "needs": json.loads(row[13] or "[]"),
            }
            for row in rows
        ]

    def clear(self) -> None:
        """Forget it."""
        self._store.db.execute("DELETE FROM journal")
