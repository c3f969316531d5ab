"""A local Functions host with a Durable engine: serves any Python v2 function app, and can be killed at any moment.

    python -m local.functions --script-root DIR --port P --state DIR

The way of a request, and where to look:

    __main__.py        the command line; signals; the one line on standard output
    host.py            puts the parts together and takes them apart again
    settings.py        host.json, local.settings.json, the values of the environment that count
    app.py             finds and loads the app: functions, their triggers and bindings
    worker_process.py  the worker process, seen from the host: starts it, hands it calls, replaces it when it dies
    caller.py          how the host has each kind of function called
    calls.py           what passes between host and worker
    worker.py          the worker process itself
    invoke.py          calls a function, in the worker: threads, the event loop, context, durable client
    logs.py            log lines with function and invocation id
    pid_file.py        which process is the worker
    web.py             the ASGI application: which part answers which path, keys
    connection.py      HTTP on the wire: limits, what can't be read, a connection closed without an answer
    paths.py           paths and queries as ASP.NET Core reads them
    keys.py            the host's keys, and what each opens
    routes.py          route templates and constraints
    http_trigger.py    requests into functions, results into responses
    admin.py           GET /, /admin/...
    options.py         what GET /admin/host/config shows
    timers.py          timer triggers
    durable/           the Durable engine, its store and its management API; begin with durable/__init__.py

Only the loopback interface is served.
"""
