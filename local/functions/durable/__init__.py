"""A Durable Task engine on SQLite, for orchestrations written with the unmodified Python SDK.

    events.py       history events and statuses, in the framework's words
    store.py        SQLite: instances, histories, messages, scheduled activities, timers; one transaction per transition
    episode.py      calls the orchestrator function with its history
    replay.py       replays the actions that it asked for, as the extension does
    decisions.py    what passes between the two and the engine
    agenda.py       what there is to do, in memory
    engine.py       start, event, episode, activity's outcome, timer, purge
    transitions.py  what comes of an episode, written into the store
    visibility.py   for how long what was taken is hidden from the next engine
    entities.py     batches of operations on entities
    rewind.py       what rewinding makes of a history
    outcomes.py     an activity's input, result and failure
    http_call.py    the activity behind call_http
    faults.py       faults on demand: lost messages, orchestrations that fail, answers that fail or are late
    driver.py       runs an engine on an event loop: due timers, concurrency limits
    stage.py        runs an engine step by step in a test: chosen clock, chosen order, crashes
    queries.py      status, lists and histories as the management API shows them
    management.py   the HTTP API, for people and for the SDK's client
    service_loop.py async functions and the SDK's client in tests
    newtonsoft.py   JSON as the extension reads it, with its complaints
    client.py       what a durable client binding is given

An instance goes through episodes. Messages (a start, an activity's result, a fired timer, a raised event) gather in
its inbox; an episode takes them up, calls the orchestrator with everything that has happened, and what comes of it
is written in one transaction: the history grows, new activities, timers and messages go out, the status moves.
"""
