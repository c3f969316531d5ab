"""An engine on a stage: orchestrations of a real app, one step at a time, in one process, without sleeping.

The engine, the store, the SDK and the app's functions are those of the host; only who decides what happens next is
different: the test does. Nothing happens unless it is called for.

    with Stage(app, tmp_path / "durable.sqlite") as stage:
        run = stage.start("deploy", {"client": "acme"})     # as client.start_new does
        stage.play()                                        # all orchestrations, as far as they go by themselves
        [vnet, nsg] = stage.pending                         # scheduled activities, in the order of scheduling
        stage.complete(nsg)                                 # runs the real function, records it, plays on
        stage.fail(vnet, "no luck")                         # or: stage.settle(vnet, {"any": "result"})
        # stage.record(task) records and doesn't play on: the next completion then meets it in one episode
        stage.advance(30)                                   # the clock stands still otherwise
        stage.run_to_end(run)                               # activities in order, the clock from timer to timer
        assert stage.status(run).runtime_status == "Completed"

Crashes. `stage.crash()` drops the engine with everything it holds in memory and opens the store anew, as a killed
host does. `stage.lose(task)` runs an activity and forgets the outcome: killed after the effect, before the record.
`stage.crash_after(n)` makes the n-th commit from now the last thing that happens: CrashedError comes out of whatever
is being done, and out of everything until `stage.crash()`. So an orchestration killed at each of its transitions is

    for n in itertools.count(1):
        with Stage(app, tmp_path / f"{n}.sqlite") as stage:
            stage.crash_after(n)
            if not stage.survive(lambda: stage.run_to_end(stage.start("deploy", given, "run"))):
                break                                       # n is more than the orchestration has
            stage.crash()
            ...                                             # start again if the start itself was lost, run to the end

or, step by step, `stage.step()`: one episode, one activity or one timer; None when nothing is left to do.

Every order of completion: `order` of `run_until_idle` and `run_to_end` picks from the pending activities, by default
the first. Activities can be replaced: `Stage(app, path, activities={"create_vm": lambda given: ...})`; a replacement
gets the decoded input, is `def` or `async def`, and answers for names that the app itself doesn't have, too.

Activities run in the thread of the test, `async` ones on a loop in another thread. A durable client bound to an
activity is the SDK's own, over HTTP to this stage. `stage.client()` is one for the test; `stage.run(coroutine)` awaits.
"""

import contextlib
import datetime as dt
import functools
import inspect
import json
import sys
import uuid
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import azure.durable_functions as df
from azure.durable_functions.models.history import HistoryEvent
from azure.durable_functions.models.TaskOrchestrationExecutor import TaskOrchestrationExecutor
from azure.functions import FunctionRegister

from local.functions.app import ACTIVITY, ENTITY, ORCHESTRATION, Function, functions_of
from local.functions.calls import WorkerProcessExitException, code_of
from local.functions.durable import events as ev
from local.functions.durable.bill import Bill
from local.functions.durable.client import Addresses
from local.functions.durable.clock import UTC, VirtualClock
from local.functions.durable.decisions import HTTP_ACTIVITY, Answer, Failure, Success
from local.functions.durable.engine import Engine
from local.functions.durable.episode import Orchestrator, answer_of
from local.functions.durable.events import Event
from local.functions.durable.faults import Faults
from local.functions.durable.http_call import call_http
from local.functions.durable.management import Management
from local.functions.durable.outcomes import failure_of, given_to, result_of
from local.functions.durable.queries import as_json
from local.functions.durable.service_loop import service_loop
from local.functions.durable.store import Store, Task
from local.functions.durable.visibility import Visibility
from local.functions.invoke import SELF_ENDING, Invoker

MOST_STEPS = 10_000

# The SDK reads all times of a history anew at each replay, which is half of its work, and makes a class of its own for each,
# a tenth of the rest: what was read or made once is known.
_history: Any = sys.modules[HistoryEvent.__module__]
_history.dt_parse = functools.lru_cache(maxsize=MOST_STEPS)(_history.dt_parse)
_replay: Any = sys.modules[TaskOrchestrationExecutor.__module__]
_replay.namedtuple = functools.cache(_replay.namedtuple)


class CrashedError(BaseException):
    """The engine is gone. A BaseException: no activity's own error handling may stop it."""


@contextlib.contextmanager
def quiet_sdk() -> Iterator[None]:
    """Without the notices that the SDK gives in the ordinary course: tests may turn warnings into errors."""
    with warnings.catch_warnings():
        for notice in ("Potential duplicate Task completion", "azure.functions "):
            warnings.filterwarnings("ignore", message=notice)
        yield


def in_this_process(function: Function) -> Orchestrator:
    """What would end a worker process fails the orchestration as the worker's end does."""

    def answer(body: str) -> Answer:
        try:
            return answer_of(function.name, function.call, body)
        except SELF_ENDING as error:
            raise WorkerProcessExitException.of(code_of(error)) from None

    return answer


class StuckError(AssertionError):
    """Nothing is left that could happen, and the instance isn't finished; or it never ends."""


@dataclass(frozen=True)
class Status:
    instance_id: str
    name: str
    runtime_status: str
    input: Any
    output: Any
    custom_status: Any


class Stage:
    def __init__(
        self,
        app: FunctionRegister | list[Function],
        path: Path | str,
        *,
        activities: Mapping[str, Callable[..., Any]] | None = None,
        clock: VirtualClock | None = None,
        default_version: str = "",
        visibility: Visibility | None = None,
    ) -> None:
        """`visibility`: for how long what a crash interrupts isn't seen by the next engine; by default not at all."""
        functions = app if isinstance(app, list) else functions_of(app)
        self.clock = clock or VirtualClock()
        self.faults = Faults()
        """What goes wrong on demand; it survives `crash`."""
        self.bill = Bill()
        """What was done so far, counted; it survives `crash`, too."""
        self._path = path
        self._default_version = default_version
        self._visibility = visibility
        self._replacements = {name.lower(): call for name, call in (activities or {}).items()}
        self._orchestrators = {one.name: in_this_process(one) for one in functions if one.kind == ORCHESTRATION}
        self._entities = {one.name: one.call for one in functions if one.kind == ENTITY}
        self._functions = {one.name.lower(): one for one in functions if one.kind == ACTIVITY}
        names = {one.name.lower(): one.name for one in self._functions.values()}
        self._activity_names = list(({name.lower(): name for name in activities or {}} | names).values())
        self._address: tuple[str, str] | None = None
        self._commits_left: int | None = None
        self._crashed = False
        self.was_killed = False
        """Whether `crash_after` has struck, at any time."""
        self._invoker = Invoker(lambda binding: self._addresses().binding(binding), threads=1)
        self._open()

    def _open(self) -> None:
        self._crashed, self._commits_left = False, None
        self.store = Store(self._path, self._on_transition)
        self.engine = Engine(
            self._orchestrators,
            self._activity_names,
            self.store,
            self.clock,
            self._default_version,
            self._entities,
            self.faults,
            self._visibility,
            self.bill,
        )
        self._management = Management(self.engine, Addresses("", "TestHub", "", ""))

    def _addresses(self) -> Addresses:
        if self._address is None:
            self._address = service_loop().serve(lambda: self._management)
        base, token = self._address
        addresses = Addresses(base, "TestHub", token, f"{base}/rpc/")
        self._management.addresses = addresses
        return addresses

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._address:
            service_loop().withdraw(self._address[1])
        self._invoker.close()
        self.store.close()

    # --- what clients do ----------------------------------------------------------------------------------------------

    def start(self, name: str, given: Any = None, instance_id: str | None = None, version: str = "") -> str:
        """As `client.start_new`: the SDK sends the input as JSON within JSON."""
        encoded = None if given is None else json.dumps(json.dumps(given))
        return self.engine.start(name, encoded, instance_id or uuid.uuid4().hex, version)

    def raise_event(self, instance_id: str, name: str, data: Any = None) -> None:
        """As `client.raise_event`: JSON within JSON here, too."""
        self.engine.raise_event(instance_id, name, json.dumps(json.dumps(data)))

    def terminate(self, instance_id: str, reason: str = "") -> None:
        self.engine.terminate(instance_id, reason)

    def suspend(self, instance_id: str, reason: str = "") -> None:
        self.engine.suspend(instance_id, reason)

    def resume(self, instance_id: str, reason: str = "") -> None:
        self.engine.resume(instance_id, reason)

    def purge(self, *instance_ids: str) -> int:
        return self.engine.purge(instance_ids)

    def client(self) -> df.DurableOrchestrationClient:
        """The SDK's client, connected to this stage. Await its methods with `run`."""
        return df.DurableOrchestrationClient(self._addresses().binding({}))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return service_loop().run(coroutine)

    # --- what there is to see -----------------------------------------------------------------------------------------

    def status(self, instance_id: str) -> Status:
        instance = self.store.instance(instance_id)
        if instance is None:
            raise LookupError(f"there is no instance '{instance_id}'")
        given = as_json(instance.input)
        return Status(
            instance.id,
            instance.name,
            instance.status,
            as_json(given) if isinstance(given, str) else given,
            as_json(instance.output),
            as_json(instance.custom_status),
        )

    def instances(self) -> list[Status]:
        return [self.status(instance.id) for instance in self.store.instances()]

    def exists(self, instance_id: str) -> bool:
        return self.store.instance(instance_id) is not None

    def history(self, instance_id: str) -> list[Event]:
        """The events as the SDK gets them."""
        return [json.loads(event) for event in self.store.history(instance_id)]

    @property
    def pending(self) -> list[Task]:
        """Activities that wait to be run, in the order of scheduling, after all orchestrations have gone as far as they go."""
        self.play()
        return self.engine.pending_tasks()

    def input_of(self, task: Task) -> Any:
        with quiet_sdk():
            return given_to(task)

    @property
    def next_timer(self) -> dt.datetime | None:
        """When the next durable timer is due, cancelled ones included: those of Azure fire, too."""
        due = self.engine.next_due()
        return None if due is None else dt.datetime.fromtimestamp(due, UTC)

    # --- what the test makes happen -----------------------------------------------------------------------------------

    def play(self) -> int:
        """Runs episodes until no instance has a message left. Says how many there were."""
        count = 0
        while self._play_one():
            count += 1
            if count > MOST_STEPS:
                raise StuckError(f"no end after {MOST_STEPS} episodes: {self._situation()}")
        return count

    def _play_one(self) -> str | None:
        self._alive()
        episode = self.engine.take_episode()
        if episode is None:
            return None
        with quiet_sdk():
            outcome = self.engine.play(episode)
        self.engine.finish_episode(episode, outcome)
        return f"episode of {episode.name} '{episode.instance_id}'"

    def complete(self, task: Task | str) -> None:
        """Runs an activity, records what came of it, and plays on. A name means the oldest pending one of that name."""
        self.record(task)
        self.play()

    def record(self, task: Task | str) -> None:
        """As `complete`, without playing on: so several completions, as each is recorded, meet in one episode."""
        self._complete(self._taken(task))

    def _complete(self, task: Task) -> None:
        self.engine.finish_task(task, self._outcome_of(task))

    def settle(self, task: Task | str, result: Any = None) -> None:
        """Records a result without running anything, and plays on."""
        taken = self._taken(task)
        self.engine.finish_task(taken, result_of(taken, result))
        self.play()

    def fail(self, task: Task | str, error: BaseException | str) -> None:
        """Records a failure without running anything, and plays on."""
        taken = self._taken(task)
        failure = error if isinstance(error, BaseException) else RuntimeError(error)
        self.engine.finish_task(taken, failure_of(taken.name, failure))
        self.play()

    def lose(self, task: Task | str) -> None:
        """Runs an activity and forgets what came of it. It is pending again after `crash`."""
        self._outcome_of(self._taken(task))

    def _taken(self, task: Task | str) -> Task:
        if isinstance(task, str):
            self.play()
            named = [one for one in self.engine.pending_tasks() if one.name.lower() == task.lower()]
            if not named:
                raise LookupError(f"no activity '{task}' is pending: {self._situation()}")
            task = named[0]
        taken = self.engine.take_task(task.id)
        if taken is None:
            raise LookupError(f"the activity {task.name} of '{task.instance}' isn't pending (any more)")
        return taken

    def _outcome_of(self, task: Task) -> Success | Failure:
        self._alive()
        try:
            with quiet_sdk():
                returned = self._call(task)
        except SELF_ENDING as error:
            return failure_of(task.name, WorkerProcessExitException.of(code_of(error)))
        except Exception as error:  # noqa: BLE001 - whatever the activity raises is its outcome
            self._alive()
            return failure_of(task.name, error)
        self._alive()
        return result_of(task, returned)

    def _call(self, task: Task) -> Any:
        replacement = self._replacements.get(task.name.lower())
        given = given_to(task)
        if replacement:
            returned = replacement(given)
        elif task.name == HTTP_ACTIVITY:
            returned = call_http(given)
        else:
            function = self._functions[task.name.lower()]
            returned = function.call(**self._invoker.arguments(function, given, str(uuid.uuid4())))
        return service_loop().run(returned) if inspect.iscoroutine(returned) else returned

    def advance(self, seconds: float) -> None:
        """Moves the clock; timers that come due on the way fire at their own time, one after the other."""
        target = self.clock.now() + seconds
        self.play()
        while (due := self.engine.next_due()) is not None and due <= target:
            self.clock.advance_to(due)
            self.engine.fire_due_timers()
            self.play()
        self.clock.advance_to(target)

    def advance_to_next_timer(self) -> bool:
        """Moves the clock to the next timer and plays on. False when there is none."""
        self.play()
        due = self.engine.next_due()
        if due is None:
            return False
        self.clock.advance_to(due)
        self.engine.fire_due_timers()
        self.play()
        return True

    def step(self, order: Callable[[list[Task]], Task] | None = None) -> str | None:
        """One thing: an episode, else an activity, else the next timer. Says what; None when nothing is left."""
        played = self._play_one()
        if played:
            return played
        pending = self.engine.pending_tasks()
        if pending:
            task = order(pending) if order else pending[0]
            self.record(task)
            return f"activity {task.name} of '{task.instance}'"
        due = self.engine.next_due()
        if due is None:
            return None
        self.clock.advance_to(due)
        self.engine.fire_due_timers()
        return f"timers due at {dt.datetime.fromtimestamp(due, UTC).isoformat()}"

    def run_until_idle(self, order: Callable[[list[Task]], Task] | None = None) -> None:
        """Plays and completes activities until only timers and events could bring anything on."""
        for _ in range(MOST_STEPS):
            pending = self.pending
            if not pending:
                return
            self.complete(order(pending) if order else pending[0])
        raise StuckError(f"no end after {MOST_STEPS} activities: {self._situation()}")

    def run_to_end(self, instance_id: str, order: Callable[[list[Task]], Task] | None = None) -> Status:
        """Runs everything, the clock going from timer to timer, until the instance has finished."""
        for _ in range(MOST_STEPS):
            self.play()
            status = self.status(instance_id)
            if status.runtime_status in ev.FINISHED:
                return status
            if self.step(order) is None:
                raise StuckError(f"'{instance_id}' is {status.runtime_status} and nothing is left to happen")
        raise StuckError(f"no end after {MOST_STEPS} steps: {self._situation()}")

    def carry_out(self, name: str, given: Any = None, instance_id: str | None = None, version: str = "") -> Status:
        """Starts an orchestration and runs everything until it has finished."""
        return self.run_to_end(self.start(name, given, instance_id, version))

    def _situation(self) -> str:
        tasks = ", ".join(f"{one.name} of '{one.instance}'" for one in self.engine.pending_tasks()) or "nothing"
        return f"pending: {tasks}; next timer: {self.next_timer}"

    # --- crashes ------------------------------------------------------------------------------------------------------

    def crash(self) -> None:
        """Drops the engine and all that it knows, and opens the store anew. The clock goes on from where it is."""
        self.store.close()
        self._open()

    def crash_after(self, commits: int) -> None:
        self._commits_left = commits

    def survive(self, work: Callable[[], Any]) -> bool:
        """Does something that may be hit by `crash_after`. True when it was."""
        with contextlib.suppress(CrashedError):
            work()
            self._commits_left = None
            return False
        return True

    def survive_all(self, commits: int, work: Callable[[], Any]) -> int:
        """Does something, and anew after each crash, which comes after so many commits, until it gets through. How many crashes
        there were."""
        crashes = 0
        self.crash_after(commits)
        while self.survive(work):
            crashes += 1
            self.crash()
            self.crash_after(commits)
        return crashes

    def _on_transition(self, moment: str) -> None:
        self._alive()
        if moment == "committed" and self._commits_left is not None:
            self._commits_left -= 1
            if self._commits_left <= 0:
                self._crashed = self.was_killed = True
                raise CrashedError

    def _alive(self) -> None:
        if self._crashed:
            raise CrashedError
