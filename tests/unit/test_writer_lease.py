"""Who may write, when a writer counts as standing still, and what is started then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.functions.durable.clock import VirtualClock
from shared.clock import running_on, utc_now
from shared.saga.policy import LONGEST_WAIT_OF_A_WRITER, writer_wait
from shared.settings import current_settings
from shared.tables.codec import as_entity, from_entity
from shared.writers.gateway.site_rows import GatewayWriter
from shared.writers.instances import (
    FINISHED,
    NOT_KNOWN,
    NOT_THERE,
    UNFINISHED,
    Start,
    Watch,
    _beat,
    policy_of,
    what_to_start,
    writer_of,
)
from shared.writers.lease import LATE, Lease, LeasedWriter, first_due, next_due
from shared.writers.peering.peering_rows import HubWriter
from tests.app import AppTime
from tests.unit.installations import Installation

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ROWS: list[LeasedWriter] = [GatewayWriter(generation=3), HubWriter(generation=3)]


def after_a_beat(row: LeasedWriter, now: datetime, wait: float, poll_seconds: float) -> LeasedWriter:
    return replace(row, due=next_due(row.due, now, wait, poll_seconds))


@pytest.mark.parametrize("row", ROWS)
def test_rows_keep_generation_and_due(row: GatewayWriter | HubWriter) -> None:
    written = replace(row, due=first_due(NOW), replaced="gateway-x stood still")
    assert from_entity(type(row), as_entity(written, "p")) == written


@pytest.mark.parametrize("row", ROWS)
@given(wait=st.floats(0, LONGEST_WAIT_OF_A_WRITER), poll_seconds=st.floats(0, 60))
def test_a_writer_that_beats_is_not_late_before_its_next_call(
    row: LeasedWriter, wait: float, poll_seconds: float
) -> None:
    beating = after_a_beat(row, NOW, wait, poll_seconds)
    next_call = NOW + timedelta(seconds=wait)
    assert not beating.is_late(next_call + LATE)
    latest = next_call + timedelta(seconds=10 * poll_seconds) + timedelta(minutes=9)
    assert beating.is_late(latest), "and its death is noticed within minutes"


@pytest.mark.parametrize("row", ROWS)
def test_a_beat_is_written_about_once_a_minute_however_often_it_polls(row: LeasedWriter) -> None:
    written, present = 0, row
    for second in range(600):
        beating = after_a_beat(present, NOW + timedelta(seconds=second), 1.0, 1.0)
        written, present = written + (beating != present), beating
    assert 9 <= written <= 12


@pytest.mark.parametrize("row", ROWS)
def test_a_due_far_ahead_is_taken_back_when_the_wait_is_over(row: LeasedWriter) -> None:
    throttled, its_end = after_a_beat(row, NOW, 1200, 1.0), NOW + timedelta(seconds=1200)
    assert after_a_beat(throttled, its_end, 1.0, 1.0).is_late(its_end + timedelta(seconds=600))
    assert after_a_beat(throttled, NOW, 1.0, 1.0).is_late(NOW + timedelta(seconds=600))


@pytest.mark.parametrize("which", ["gateway", "hub"])
def test_a_beat_is_written_when_it_says_something_new_and_by_the_present_writer_alone(
    installation: Installation, which: str
) -> None:
    installation.use()
    writer, policy, time = writer_of(which), policy_of(current_settings()), AppTime()
    AppTime.clock = VirtualClock()
    written = set[str | None]()

    def beat(payload: dict[str, Any], **answer: Any) -> LeasedWriter:
        learnt = _beat(writer, policy, payload, answer)
        payload |= learnt
        row: LeasedWriter = writer.rows.writer()
        written.add(row.etag)
        assert learnt.get("due", row.due) == row.due
        return row

    with running_on(time):
        idle: LeasedWriter = writer.rows.writer()
        present = {"instance_id": writer.instance_id(1)}
        for _ in range(30):
            assert not beat(present, wait=10.0).is_late(utc_now())
            AppTime.clock.advance(10)
        assert 2 <= len(written) <= 8, "about once a minute"
        busy = beat({"instance_id": writer.instance_id(2)}, end=True)
        assert busy.due, "another generation changes nothing"
        assert beat(present, end=True) == beat(present, end=True) == replace(idle, etag=writer.rows.writer().etag)
        AppTime.clock.advance(100 * LATE.total_seconds())
        assert not writer.rows.writer().is_late(utc_now()), "a writer with nothing to do is never late"


def test_what_is_started_follows_from_the_status_and_the_row() -> None:
    idle = GatewayWriter(generation=2)
    on_time = replace(idle, due=first_due(NOW))
    late = replace(idle, due=first_due(NOW - LATE - timedelta(minutes=2)))
    for status in UNFINISHED:
        assert what_to_start(on_time, status, NOW) is None
        assert what_to_start(idle, status, NOW) == Watch()
        assert what_to_start(late, status, NOW) == Start(3, replaces=True)
    for status in FINISHED | {NOT_THERE}:
        for row in (idle, late):
            assert what_to_start(row, status, NOW) == Start(2)
        assert what_to_start(on_time, status, NOW) == Start(2, noted=True), "the row is left alone"
    assert what_to_start(idle, NOT_KNOWN, NOW) is None
    assert what_to_start(on_time, NOT_KNOWN, NOW) is None
    assert what_to_start(late, NOT_KNOWN, NOW) == Start(3, replaces=True)


@given(st.floats())
def test_whatever_a_wait_is_a_writer_sleeps_for_a_sane_time(seconds: float) -> None:
    assert 0 <= writer_wait(seconds) <= LONGEST_WAIT_OF_A_WRITER


@pytest.mark.parametrize("call_seconds", [0.5, 1, 70])
def test_another_writer_waits_until_nothing_of_the_first_can_arrive(call_seconds: float) -> None:
    lease = Lease.granted("mine", NOW, 2 * call_seconds)
    end = NOW + timedelta(seconds=2 * call_seconds)
    assert lease.allows(NOW, call_seconds)
    assert not lease.allows(end - timedelta(seconds=call_seconds), call_seconds)
    assert lease.keeps_out("mine", NOW) == 0
    assert lease.keeps_out("another", NOW) == 2 * call_seconds
    assert lease.keeps_out("another", end) == 0
    assert Lease().keeps_out("another", NOW) == 0
    assert not Lease().allows(NOW, call_seconds)


@pytest.mark.parametrize("row", ROWS)
def test_a_lease_is_given_and_taken_back_by_the_writers_row(row: GatewayWriter | HubWriter) -> None:
    lease = Lease.granted("mine", NOW, 30)
    written = row.leased(lease)
    assert from_entity(type(row), as_entity(written, "p")).lease == lease
    assert written.leased(Lease()) == row
