"""Everything that must survive a kill: one SQLite file in WAL mode, written by one connection.

A transition of an instance is one `with store.transition():` block: what it appends to the history, the messages,
activities and timers it sends out and the new status become visible together or not at all. The journal is not
flushed to the disk at each commit: a killed process loses nothing, only a machine that loses its power could.

| table     | one row is                                                                                     |
|-----------|------------------------------------------------------------------------------------------------|
| instances | an orchestration's present generation and status                                               |
| history   | one event of an instance's present generation                                                  |
| inbox     | a message that an instance hasn't received yet; `execution` names the generation it is for     |
| tasks     | an activity that was scheduled and whose outcome isn't known yet                               |
| timers    | a timer that hasn't fired yet                                                                  |
| entities  | the state of an entity that exists                                                             |

A message or activity that was taken is `hidden` until a moment: if its host dies, it is seen again only then.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from local.functions.durable.events import FINISHED, Event, text

SCHEMA = """
CREATE TABLE IF NOT EXISTS instances (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, execution TEXT NOT NULL, status TEXT NOT NULL,
  input TEXT, output TEXT, custom_status TEXT, created REAL NOT NULL, updated REAL NOT NULL,
  parent TEXT, parent_execution TEXT, parent_task INTEGER, carried_status TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS instances_by_creation ON instances (created, id);
CREATE TABLE IF NOT EXISTS history (
  instance TEXT NOT NULL, place INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (instance, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox (
  place INTEGER PRIMARY KEY, instance TEXT NOT NULL, execution TEXT, event TEXT NOT NULL,
  hidden REAL NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS inbox_by_instance ON inbox (instance, place);
CREATE TABLE IF NOT EXISTS tasks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, execution TEXT NOT NULL, task INTEGER NOT NULL,
  name TEXT NOT NULL, input TEXT, hidden REAL NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS timers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, execution TEXT NOT NULL, task INTEGER NOT NULL,
  due REAL NOT NULL, event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS timers_by_instance ON timers (instance);
CREATE TABLE IF NOT EXISTS entities (id TEXT PRIMARY KEY, state TEXT NOT NULL, updated REAL NOT NULL) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Instance:
    id: str
    name: str
    version: str
    execution: str
    status: str
    input: str | None
    output: str | None
    custom_status: str | None
    created: float
    updated: float
    parent: str | None = None
    parent_execution: str | None = None
    parent_task: int | None = None
    carried_status: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """An activity to be run. `input` is the JSON array with one element that the framework keeps."""

    id: int
    instance: str
    execution: str
    task: int
    name: str
    input: str | None
    hidden: float = 0.0


@dataclass(frozen=True, slots=True)
class Timer:
    id: int
    instance: str
    execution: str
    task: int
    due: float


@dataclass(frozen=True, slots=True)
class Message:
    place: int
    execution: str | None
    event: Event
    hidden: float = 0.0


COLUMNS = tuple(field.name for field in fields(Instance))
WRITE_INSTANCE = f"INSERT OR REPLACE INTO instances ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own column names
READ_INSTANCE = f"SELECT {', '.join(COLUMNS)} FROM instances"  # noqa: S608 - our own column names


class Store:
    def __init__(self, path: Path | str, on_transition: Callable[[str], None] | None = None) -> None:
        """`on_transition` hears "begin" and "committed"; what it raises reaches the caller of the transition."""
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        self._lock = threading.RLock()
        self._depth = 0
        self._on_transition = on_transition or (lambda moment: None)
        self.transitions = 0
        run = self._connection.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        run("PRAGMA busy_timeout=5000")
        self._connection.executescript(SCHEMA)
        self._add_what_is_new("inbox", "tasks")
        first, last = run("SELECT COALESCE(MIN(place), 0), COALESCE(MAX(place), 0) FROM inbox").fetchone()
        self._head, self._tail = min(first, 0), max(last, 0)

    def _add_what_is_new(self, *tables: str) -> None:
        """Files of an earlier version have no column `hidden`."""
        for table in tables:
            if "hidden" not in [name for _, name, *_ in self._read(f"PRAGMA table_info({table})")]:
                self._write(f"ALTER TABLE {table} ADD COLUMN hidden REAL NOT NULL DEFAULT 0")

    def check(self) -> None:
        """Raises a sqlite3.DatabaseError when the file is damaged."""
        [(first, *_), *_] = self._read("PRAGMA quick_check(1)")
        if first != "ok":
            raise sqlite3.DatabaseError(first)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def transition(self) -> Iterator[None]:
        with self._lock:
            if self._depth:
                yield
                return
            self._on_transition("begin")
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
            self.transitions += 1
        self._on_transition("committed")

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _write(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    # --- instances and their histories --------------------------------------------------------------------------------

    def instance(self, instance_id: str) -> Instance | None:
        rows = self._read(f"{READ_INSTANCE} WHERE id = ?", (instance_id,))
        return Instance(*rows[0]) if rows else None

    def instances(
        self, where: str = "1", values: Sequence[Any] = (), limit: int = -1, order: str = "created, id"
    ) -> list[Instance]:
        rows = self._read(f"{READ_INSTANCE} WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit))
        return [Instance(*row) for row in rows]

    def names_of_unfinished(self) -> dict[str, str]:
        finished = ", ".join("?" * len(FINISHED))
        return dict(self._read(f"SELECT id, name FROM instances WHERE status NOT IN ({finished})", tuple(FINISHED)))  # noqa: S608 - question marks

    def put_instance(self, instance: Instance) -> None:
        self._write(WRITE_INSTANCE, tuple(getattr(instance, column) for column in COLUMNS))

    def history(self, instance_id: str) -> list[str]:
        rows = self._read("SELECT event FROM history WHERE instance = ? ORDER BY place", (instance_id,))
        return [event for (event,) in rows]

    def append_history(self, instance_id: str, place: int, events: Iterable[str]) -> None:
        self._connection.executemany(
            "INSERT INTO history (instance, place, event) VALUES (?, ?, ?)",
            ((instance_id, place + n, event) for n, event in enumerate(events)),
        )

    def clear_history(self, instance_id: str) -> None:
        self._write("DELETE FROM history WHERE instance = ?", (instance_id,))

    def forget_instance(self, instance_id: str) -> None:
        """Everything of an instance but its scheduled activities: those run even when no instance waits for them."""
        for sql in (
            "DELETE FROM instances WHERE id = ?",
            "DELETE FROM history WHERE instance = ?",
            "DELETE FROM inbox WHERE instance = ?",
            "DELETE FROM timers WHERE instance = ?",
        ):
            self._write(sql, (instance_id,))

    # --- messages -----------------------------------------------------------------------------------------------------

    def send(self, instance_id: str, event: Event, execution: str | None = None, *, ahead: bool = False) -> None:
        if ahead:
            self._head -= 1
            place = self._head
        else:
            self._tail += 1
            place = self._tail
        self._write(
            "INSERT INTO inbox (place, instance, execution, event) VALUES (?, ?, ?, ?)",
            (place, instance_id, execution, text(event)),
        )

    def inbox(self, instance_id: str) -> list[Message]:
        sql = "SELECT place, execution, event, hidden FROM inbox WHERE instance = ? ORDER BY place"
        rows = self._read(sql, (instance_id,))
        return [Message(place, execution, json.loads(event), hidden) for place, execution, event, hidden in rows]

    def hide_messages(self, places: Iterable[int], until: float) -> None:
        self._connection.executemany("UPDATE inbox SET hidden = ? WHERE place = ?", ((until, one) for one in places))

    def take_from_inbox(self, places: Iterable[int]) -> None:
        self._connection.executemany("DELETE FROM inbox WHERE place = ?", ((place,) for place in places))

    def with_messages(self) -> list[tuple[str, list[float]]]:
        """The instances that have messages, longest waiting first, and until when each message is hidden."""
        found: dict[str, list[float]] = {}
        for instance_id, hidden in self._read("SELECT instance, hidden FROM inbox ORDER BY place"):
            found.setdefault(instance_id, []).append(hidden)
        return list(found.items())

    # --- activities and timers ----------------------------------------------------------------------------------------

    def add_task(self, instance: str, execution: str, task: int, name: str, given: str | None) -> Task:
        cursor = self._write(
            "INSERT INTO tasks (instance, execution, task, name, input) VALUES (?, ?, ?, ?, ?)",
            (instance, execution, task, name, given),
        )
        return Task(cursor.lastrowid or 0, instance, execution, task, name, given)

    def tasks(self) -> list[Task]:
        rows = self._read("SELECT id, instance, execution, task, name, input, hidden FROM tasks ORDER BY id")
        return [Task(*row) for row in rows]

    def hide_tasks(self, task_ids: Iterable[int], until: float) -> None:
        self._connection.executemany("UPDATE tasks SET hidden = ? WHERE id = ?", ((until, one) for one in task_ids))

    def remove_task(self, task_id: int) -> bool:
        return self._write("DELETE FROM tasks WHERE id = ?", (task_id,)).rowcount > 0

    def add_timer(self, instance: str, execution: str, task: int, due: float, event: Event) -> Timer:
        cursor = self._write(
            "INSERT INTO timers (instance, execution, task, due, event) VALUES (?, ?, ?, ?, ?)",
            (instance, execution, task, due, text(event)),
        )
        return Timer(cursor.lastrowid or 0, instance, execution, task, due)

    def timers(self) -> list[Timer]:
        rows = self._read("SELECT id, instance, execution, task, due FROM timers ORDER BY due, id")
        return [Timer(*row) for row in rows]

    def take_timer(self, timer_id: int) -> Event | None:
        rows = self._read("SELECT event FROM timers WHERE id = ?", (timer_id,))
        if not rows:
            return None
        self._write("DELETE FROM timers WHERE id = ?", (timer_id,))
        event: Event = json.loads(rows[0][0])
        return event

    def drop_timers(self, instance_id: str) -> list[int]:
        rows = self._read("SELECT id FROM timers WHERE instance = ?", (instance_id,))
        if rows:
            self._write("DELETE FROM timers WHERE instance = ?", (instance_id,))
        return [timer_id for (timer_id,) in rows]

    # --- entities -----------------------------------------------------------------------------------------------------

    def entity(self, entity_id: str) -> str | None:
        rows = self._read("SELECT state FROM entities WHERE id = ?", (entity_id,))
        return rows[0][0] if rows else None

    def put_entity(self, entity_id: str, state: str | None, now: float) -> None:
        if state is None:
            self._write("DELETE FROM entities WHERE id = ?", (entity_id,))
        else:
            self._write(
                "INSERT OR REPLACE INTO entities (id, state, updated) VALUES (?, ?, ?)", (entity_id, state, now)
            )

    def entities(self, prefix: str, after: str, limit: int) -> list[tuple[str, str, float]]:
        sql = "SELECT id, state, updated FROM entities WHERE substr(id, 1, ?) = ? AND id > ? ORDER BY id LIMIT ?"
        return self._read(sql, (len(prefix), prefix, after, limit))
