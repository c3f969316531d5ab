"""The options that GET /admin/host/config shows: the extensions' own defaults, and over them what host.json says."""

from collections.abc import Mapping
from typing import Any

DEFAULTS: dict[str, Any] = {
    "extensions": {
        "http": {
            "dynamicThrottlesEnabled": False,
            "enableChunkedRequestBinding": False,
            "maxConcurrentRequests": -1,
            "maxOutstandingRequests": -1,
            "routePrefix": "api",
        },
        "durableTask": {
            "hubName": None,
            "defaultVersion": None,
            "versionMatchStrategy": "CurrentOrOlder",
            "versionFailureStrategy": "Reject",
            "maxConcurrentActivityFunctions": None,
            "maxConcurrentOrchestratorFunctions": None,
            "maxConcurrentEntityFunctions": None,
            "maxEntityOperationBatchSize": None,
            "extendedSessionsEnabled": False,
            "extendedSessionIdleTimeoutInSeconds": 30,
            "maxOrchestrationActions": 100000,
            "overridableExistingInstanceStates": "NonRunningStates",
            "entityMessageReorderWindowInMinutes": 30,
            "useGracefulShutdown": False,
            "rollbackEntityOperationsOnExceptions": True,
            "throwStatusExceptionsOnRaiseEvent": None,
            "useAppLease": True,
            "storeInputsInOrchestrationHistory": False,
            "localRpcEndpointEnabled": None,
            "maxGrpcMessageSizeInBytes": 4194304,
            "grpcHttpClientTimeout": "00:01:40",
            "httpSettings": {"defaultAsyncRequestSleepTimeMilliseconds": 30000, "useForwardedHost": False},
            "tracing": {
                "traceInputsAndOutputs": False,
                "allowVerboseLinuxTelemetry": False,
                "traceReplayEvents": False,
                "distributedTracingEnabled": False,
                "distributedTracingProtocol": "HttpCorrelationProtocol",
                "version": 1,
                "includeInstanceIdInOperationName": False,
            },
            "notifications": {"eventGrid": None},
            "appLeaseOptions": {
                "renewInterval": "00:00:25",
                "acquireInterval": "00:05:00",
                "leaseInterval": "00:01:00",
            },
        },
    },
    "concurrency": {
        "dynamicConcurrencyEnabled": False,
        "maximumFunctionConcurrency": 500,
        "cpuThreshold": 0.8,
        "snapshotPersistenceEnabled": True,
    },
}

# Shown by their numbers in .NET.
TRACING_VERSIONS = {"none": 0, "v1": 1, "v2": 2}


def options(host_json: Mapping[str, Any], hub_name: str) -> dict[str, Any]:
    """Settings that the extensions don't show, the storage provider's among them, are left out here, too."""
    shown = _over(DEFAULTS, host_json)
    durable = shown["extensions"]["durableTask"]
    durable["hubName"] = hub_name
    version = durable["tracing"]["version"]
    durable["tracing"]["version"] = TRACING_VERSIONS.get(str(version).lower(), version)
    return shown


def _over(defaults: Mapping[str, Any], given: Any) -> dict[str, Any]:
    found = given if isinstance(given, Mapping) else {}
    return {
        name: _over(default, found.get(name)) if isinstance(default, Mapping) else found.get(name, default)
        for name, default in defaults.items()
    }
