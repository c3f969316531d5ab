"""The one writer of the hub's peerings: hub sides in turn, spoke sides side by side, until nobody waits."""

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.saga.instances import is_writer_id
from shared.saga.policy import BROKEN_CALL_SECONDS, writer_wait
from shared.writers.peering.rows import first_wait, next_wait, quickest

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

HUB_ROUND = "hub_round"
WRITE_HUB_SIDE = "write_hub_side"
WRITE_SPOKE_SIDE = "write_spoke_side"
SETTLE_SPOKE_SIDES = "settle_spoke_sides"
HAND_OVER_HUB = "hand_over_hub"

# After so many calls a writer continues as new: its history is replayed from the top at every one of them.
CALLS_A_GENERATION = 30
OPEN_ASKED_AT_ONCE = 5
# What a look is told, and what is handed over to the next generation.
ASKED_OF_A_ROUND = ("nonce", "results", "heal", "setbacks")
HANDED_OVER = ("present", "open", "results", "heal", "setbacks", "took")

Data = dict[str, Any]
Steps = Generator[Any, Any, Any]


def write_hub(context: "DurableOrchestrationContext") -> Generator[Any, Any, None]:
    """Looks; begins the spoke sides whose hub side is there; then writes the next hub sides, one after the other.

    The spoke sides go on meanwhile, and are asked after while the writer waits for a hub side. All else that it knows is
    in the rows and in Azure, so that one that broke off goes on from there. No input is read: one generation leaves what
    it knows to the next in the writer's row.
    """
    if not is_writer_id(context.instance_id):
        return
    writer = _HubWriter(context)
    while writer.may_go_on:
        ended = yield from writer.look()
        if ended:
            return
        yield from writer.begin_spoke_sides()
        yield from writer.write_hub_sides()
        yield from writer.rest()
    yield from writer.hand_over()
    context.continue_as_new(None)


class _HubWriter:
    """One generation. `state` holds only what its own activities have answered.

    Its `nonce` says who writes. The orchestration chooses it, not an activity: one whose answer is lost would leave a lease
    that everybody had to wait out.
    """

    def __init__(self, context: "DurableOrchestrationContext") -> None:
        self._context = context
        self.state: Data = {
            "nonce": context.new_uuid(),
            "queue": [],
            "present": None,
            "open": [],
            "results": [],
            "heal": [],
            "refused": [],
            "setbacks": 0,
            "poll_seconds": BROKEN_CALL_SECONDS,
            "due": None,
        }
        self._calls = 0
        self._wait = 0.0
        self._wrote = False

    @property
    def may_go_on(self) -> bool:
        return self._calls < CALLS_A_GENERATION

    @property
    def has_hub_sides(self) -> bool:
        return bool(self.state["queue"] or self.state["present"])

    def look(self) -> Steps:
        """Has what ended marked, and learns what is to be done; True when nobody waits."""
        state = self.state
        first = self._calls == 0
        self._wait, self._wrote = 0.0, False
        answer = yield from self._call(
            HUB_ROUND,
            {
                **{name: state[name] for name in ASKED_OF_A_ROUND},
                "first": first,
                "took": state.get("took"),
                "open": [each["key"] for each in state["open"]],
            },
        )
        if answer is None:
            self._wait = 5 * state["poll_seconds"]
            return False
        if answer.get("end"):
            return True
        state["poll_seconds"] = answer.get("poll_seconds", state["poll_seconds"])
        if handed := answer.get("handed"):
            state |= {**handed, "not_after": answer["not_after"]}
            if not state["present"]:
                return (yield from self.look())
            return False
        state["setbacks"] = state["setbacks"] + 1 if answer.get("setback") else 0
        if "not_after" in answer:
            state |= {"not_after": answer["not_after"], "results": [], "heal": []}
        state |= {"queue": answer.get("hub_sides", []), "sides": answer.get("spoke_sides", []), "refused": []}
        self._wait = answer["wait"]
        return False

    def begin_spoke_sides(self) -> Steps:
        """All at once, the hub being at rest."""
        turns = self.state.pop("sides", [])
        if not turns:
            return
        tasks = [
            self._context.call_activity(
                WRITE_SPOKE_SIDE,
                self._payload({"turn": turn, "not_after": self.state["not_after"]}),
            )
            for turn in turns
        ]
        self._calls += len(tasks)
        try:
            answers = yield self._context.task_all(tasks)
        except Exception:  # noqa: BLE001 - Durable raises a bare Exception: the next look finds out what was begun
            self._wait = self.state["poll_seconds"]
            return
        for turn, answer in zip(turns, answers, strict=True):
            self._take(turn, answer)

    def write_hub_sides(self) -> Steps:
        """One after the other; what ends and what begins next are one call."""
        state = self.state
        while self.has_hub_sides and self.may_go_on:
            present, following = state["present"], state["queue"][0] if state["queue"] else None
            careful = state.get("careful", False) or bool(following and following["key"] in state["refused"])
            answer = yield from self._call(
                WRITE_HUB_SIDE,
                {
                    "operation": present["operation"] if present else None,
                    "next": following,
                    "not_after": state["not_after"],
                    "careful": careful,
                },
            )
            if answer is None:
                # It may have begun something: the next look sees it on the hub.
                state |= {"queue": [], "present": None}
                self._wait = 5 * state["poll_seconds"]
                return
            if answer["state"] == "running":
                yield from self._sleep(self._next_wait(answer["wait"]))
                continue
            if present:
                self._present_ended(present, answer)
            begun = answer.get("begun")
            if begun is None:
                continue
            if begun.get("renew"):
                state["queue"] = []
                return
            wait = self._begun(begun)
            if wait:
                yield from self._sleep(wait)

    def rest(self) -> Steps:
        """Waits when there is nothing to write: for others, or for spoke sides that are under way."""
        if self.has_hub_sides:
            return
        wait = self._wait
        if self.state["open"] and not self._wrote:
            wait = max(wait, self.state["poll_seconds"])
        if wait > 0:
            yield from self._sleep(wait)

    def hand_over(self) -> Steps:
        """Leaves in the row what the next generation can use; one that gets lost has it looked up anew."""
        handed = {name: self.state.get(name) for name in HANDED_OVER}
        yield from self._call(HAND_OVER_HUB, {"nonce": self.state["nonce"], "handed": handed})

    # --- inside ---

    def _call(self, activity: str, payload: Data) -> Steps:
        """An activity's answer, None when it broke off."""
        self._calls += 1
        try:
            answer = yield self._context.call_activity(activity, self._payload(payload))
        except Exception:  # noqa: BLE001 - Durable raises a bare Exception for whatever broke in an activity
            return None
        self.state["due"] = answer.get("due", self.state["due"])
        return answer

    def _payload(self, payload: Data) -> Data:
        return {**payload, "instance_id": self._context.instance_id, "due": self.state["due"]}

    def _present_ended(self, present: Data, answer: Data) -> None:
        state = self.state
        state["present"] = None
        self._wrote = True
        if answer["state"] == "done":
            begun_at = datetime.fromisoformat(present["begun_at"])
            seconds = (self._context.current_utc_datetime - begun_at).total_seconds()
            state["took"] = quickest(state.get("took"), max(seconds, 0.0))
        elif answer["state"] == "failed":
            self._failed(present["turn"], answer["failure"])

    def _begun(self, begun: Data) -> float:
        """Takes what came of the first turn in the queue; seconds to wait."""
        state = self.state
        if begun["state"] == "again":
            state["careful"] = True
            wait: float = begun["wait"] or state["poll_seconds"]
            return self._others_first(wait) if begun.get("alone") else wait
        turn, state["careful"] = state["queue"].pop(0), False
        if begun["state"] == "running":
            at = self._context.current_utc_datetime.isoformat()
            state["present"] = {"turn": turn, "operation": begun["operation"], "begun_at": at}
            seconds: float = first_wait(state["poll_seconds"], state.get("took"))
            return seconds
        if begun["state"] == "failed":
            self._failed(turn, begun["failure"])
        elif begun["state"] == "heal":
            state["heal"].append(turn["key"])
        self._wrote = True
        return 0.0

    def _others_first(self, wait: float) -> float:
        """One turn alone is refused: it goes to the end of the queue, and the second time to the next look's."""
        state = self.state
        turn = state["queue"].pop(0)
        if turn["key"] not in state["refused"]:
            state["refused"].append(turn["key"])
            state["queue"].append(turn)
        elif not self._wrote:
            self._wait = max(self._wait, wait)
        return wait if state["queue"] and state["queue"][0]["key"] in state["refused"] else 0.0

    def _next_wait(self, asked: float) -> float:
        poll_seconds: float = self.state["poll_seconds"]
        return max(next_wait(poll_seconds, self.state.get("took")), asked - poll_seconds)

    def _take(self, turn: Data, answer: Data) -> None:
        name = {"key": turn["key"], "version": turn["version"]}
        match answer["state"]:
            case "running":
                self.state["open"].append({**name, "operation": answer["operation"], "then": answer.get("then")})
            case "failed":
                self._failed(turn, answer["failure"])
            case "done":
                self.state["results"].append({**name, "state": "done"})
            case _:
                self._wait = max(self._wait, answer["wait"])

    def _failed(self, turn: Data, failure: Data) -> None:
        self.state["results"].append(
            {"key": turn["key"], "version": turn["version"], "state": "failed", "failure": failure}
        )

    def _sleep(self, seconds: float) -> Steps:
        """Sleeps, and asks meanwhile after a few of the spoke sides that are under way."""
        seconds = writer_wait(seconds)
        timer = self._context.create_timer(self._context.current_utc_datetime + timedelta(seconds=seconds))
        asked = self.state["open"][:OPEN_ASKED_AT_ONCE]
        if not asked:
            yield timer
            return
        payload = self._payload({"open": asked, "nonce": self.state["nonce"]})
        self._calls += 1
        try:
            answers = yield self._context.task_all([self._context.call_activity(SETTLE_SPOKE_SIDES, payload), timer])
        except Exception:  # noqa: BLE001 - Durable raises a bare Exception: they are asked after again
            return
        still = answers[0]["open"]
        self.state["open"] = self.state["open"][len(asked) :] + still
