"""What the stand-in knows: resources in memory, every change of them in SQLite within the request's transaction.

A request is one transaction, so that a process killed at any moment comes back to the state after some whole request.
Memory mirrors the tables; `undo` brings it back together with them when a request is refused half-way.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from local.azure import ids

Json = dict[str, Any]
Everything = dict[str, list[tuple[Any, ...]]]

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resources (
  key TEXT PRIMARY KEY, seq INTEGER NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, etag TEXT NOT NULL,
  doc TEXT NOT NULL, hidden TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS operations (id TEXT PRIMARY KEY, running INTEGER NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS operations_running ON operations (running);
CREATE TABLE IF NOT EXISTS faults (n INTEGER PRIMARY KEY AUTOINCREMENT, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
  n INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
  query TEXT NOT NULL, api_version TEXT, request_headers TEXT NOT NULL, request BLOB, status INTEGER NOT NULL,
  headers TEXT NOT NULL, response BLOB, dropped INTEGER NOT NULL,
  principal TEXT, needs TEXT);
"""
# what a state of an earlier version lacks
_ADDED_COLUMNS = {"journal": ("principal", "needs")}


_BUT_THE_JOURNAL = ("meta", "resources", "operations", "faults")


@dataclass(slots=True)
class Resource:
    """One resource. `doc` is what a GET shows, without id, name, type and etag; it is never changed in place."""

    id: str
    type: str
    doc: Json
    etag: str = ""
    hidden: Json = field(default_factory=dict)
    seq: int = 0

    @property
    def key(self) -> str:
        """What it is found by."""
        return ids.key(self.id)

    @property
    def name(self) -> str:
        """The last part of its id."""
        return self.id.rsplit("/", 1)[1]

    @property
    def group(self) -> str:
        """The name of its resource group."""
        return ids.group_of(self.id)

    @property
    def properties(self) -> Json:
        """Its `properties`, to be read only."""
        found: Json = self.doc.get("properties") or {}
        return found

    @property
    def location(self) -> str:
        """Where it is, or ''."""
        return str(self.doc.get("location") or "")


def references(value: Any) -> Iterator[str]:
    """Every id that a document mentions, by any property called `id`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "id" and isinstance(inner, str):
                yield ids.key(inner)
            elif isinstance(inner, (dict, list)):
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


class Store:
    """Resources and a few named values."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(_TABLES)
        self._add_columns()
        self._undo: list[Callable[[], None]] = []
        self.load()

    def _add_columns(self) -> None:
        for table, names in _ADDED_COLUMNS.items():
            there = {row[1] for row in self.db.execute(f"PRAGMA table_info({table})")}
            for name in set(names) - there:
                self.db.execute(f"ALTER TABLE {table} ADD COLUMN {name} TEXT")

    def load(self) -> None:
        """Memory as the tables say."""
        self._resources: dict[str, Resource] = {}
        self._by_type: dict[str, dict[str, Resource]] = {}
        self._children: dict[str, dict[str, Resource]] = {}
        self._referrers: dict[str, dict[str, None]] = {}
        self._references: dict[str, set[str]] = {}
        self._meta: dict[str, Any] = {
            name: json.loads(value) for name, value in self.db.execute("SELECT name, value FROM meta")
        }
        self._seq = 0
        for seq, rid, kind, etag, doc, hidden in self.db.execute(
            "SELECT seq, id, type, etag, doc, hidden FROM resources ORDER BY seq"
        ):
            self._index(Resource(rid, kind, json.loads(doc), etag, json.loads(hidden), seq))
            self._seq = max(self._seq, seq)

    # -- transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One request: all of it or nothing."""
        self.db.execute("BEGIN")
        try:
            with self.undone_on_error():
                yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
        self._undo.clear()

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """A part of a request that leaves no trace when it raises."""
        mark = len(self._undo)
        self.db.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK TO part")
            self.db.execute("RELEASE part")
            while len(self._undo) > mark:
                self._undo.pop()()
            raise
        self.db.execute("RELEASE part")

    def on_undo(self, action: Callable[[], None]) -> None:
        """Have `action` put memory right should this part of the request be undone."""
        self._undo.append(action)

    # -- all of it

    def everything(self) -> Everything:
        """The rows of every table but the journal."""
        return {
            table: self.db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own table names
            for table in _BUT_THE_JOURNAL
        }

    def replace_everything(self, tables: Everything) -> None:
        """These rows and no others. What mirrors them in memory has to be loaded anew."""
        for table, rows in tables.items():
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own table names
            if rows:
                places = ", ".join("?" * len(rows[0]))
                self.db.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 - our own table names

    # -- named values

    def meta(self, name: str, default: Any = None) -> Any:
        """A named value."""
        value = self._meta.get(name)
        return default if value is None else value

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a named value."""
        before = self._meta.get(name)
        self.on_undo(lambda: self._meta.__setitem__(name, before))
        self._meta[name] = value
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    # -- resources

    def get(self, resource_id: str) -> Resource | None:
        """The resource with this id."""
        return self._resources.get(ids.key(resource_id))

    def put(self, resource: Resource) -> Resource:
        """Keep a resource, new or changed."""
        before = self._resources.get(resource.key)
        if before is None:
            self._seq += 1
            resource.seq = self._seq
        else:
            resource.seq = before.seq
        self._replace(before, resource)
        self.on_undo(lambda: self._replace(resource, before))
        self.db.execute(
            "INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                resource.key,
                resource.seq,
                resource.id,
                resource.type,
                resource.etag,
                json.dumps(resource.doc, separators=(",", ":")),
                json.dumps(resource.hidden, separators=(",", ":")),
            ),
        )
        return resource

    def change(
        self, resource: Resource, *, etag: str | None = None, hidden: Json | None = None, **parts: Any
    ) -> Resource:
        """Keep a resource with some top-level parts of its document replaced."""
        changed = replace(
            resource,
            doc=resource.doc | parts,
            etag=resource.etag if etag is None else etag,
            hidden=resource.hidden if hidden is None else hidden,
        )
        return self.put(changed)

    def delete(self, resource_id: str) -> None:
        """Forget a resource, not its children."""
        before = self._resources.get(ids.key(resource_id))
        if before is None:
            return
        self._replace(before, None)
        self.on_undo(lambda: self._replace(None, before))
        self.db.execute("DELETE FROM resources WHERE key = ?", (before.key,))

    def of_type(self, kind: str, scope: str | None = None) -> list[Resource]:
        """Every resource of a type, in the order of creation. scope: the id of a subscription or of a group."""
        found = self._by_type.get(kind.lower(), {}).values()
        if scope is None:
            return list(found)
        return [each for each in found if each.key.startswith(ids.key(scope) + "/")]

    def all(self) -> list[Resource]:
        """Everything, in the order of creation."""
        return sorted(self._resources.values(), key=lambda each: each.seq)

    def children(self, parent_id: str, kind: str | None = None) -> list[Resource]:
        """The direct children of a resource."""
        found = self._children.get(ids.key(parent_id), {}).values()
        return [each for each in found if kind is None or each.type.lower() == kind.lower()]

    def referrers(self, resource_id: str, kind: str | None = None) -> list[Resource]:
        """Every resource whose document mentions this id."""
        keys = self._referrers.get(ids.key(resource_id), {})
        found = [self._resources[each] for each in keys]
        return [each for each in found if kind is None or each.type.lower() == kind.lower()]

    def clear(self) -> None:
        """Forget every resource."""
        for resource in self.all():
            self.delete(resource.id)

    # -- memory

    def _replace(self, before: Resource | None, after: Resource | None) -> None:
        if before is not None:
            self._unindex(before, stays=after is not None)
        if after is not None:
            self._index(after)

    def _index(self, resource: Resource) -> None:
        key = resource.key
        self._resources[key] = resource
        self._by_type.setdefault(resource.type.lower(), {})[key] = resource
        identity = ids.parse(resource.id)
        if identity is not None and identity.parent is not None:
            self._children.setdefault(ids.key(str(identity.parent)), {})[key] = resource
        mentioned = set(references(resource.doc)) - {key}
        self._references[key] = mentioned
        for other in mentioned:
            self._referrers.setdefault(other, {})[key] = None

    def _unindex(self, resource: Resource, *, stays: bool) -> None:
        key = resource.key
        for other in self._references.pop(key, ()):
            self._referrers[other].pop(key, None)
            if not self._referrers[other]:
                del self._referrers[other]
        if stays:
            return
        del self._resources[key]
        del self._by_type[resource.type.lower()][key]
        identity = ids.parse(resource.id)
        if identity is not None and identity.parent is not None:
            self._children[ids.key(str(identity.parent))].pop(key, None)
