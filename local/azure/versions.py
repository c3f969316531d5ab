"""Api-versions: which are accepted. Those that Azure has had for a type, and whatever is newer than the newest here."""

from __future__ import annotations

import re
from typing import Any

from local.azure import errors

_FORM = re.compile(r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(-[a-z]+(\.\d+)?)?$")


def _dates(text: str) -> list[str]:
    return text.split()


_NETWORK = _dates("""2015-05-01-preview 2015-06-15 2016-03-30 2016-06-01 2016-07-01 2016-08-01 2016-09-01 2016-10-01
2016-11-01 2016-12-01 2017-03-01 2017-04-01 2017-06-01 2017-08-01 2017-09-01 2017-10-01 2017-11-01 2018-01-01 2018-02-01
2018-03-01 2018-04-01 2018-05-01 2018-06-01 2018-07-01 2018-08-01 2018-10-01 2018-11-01 2018-12-01 2019-02-01 2019-04-01
2019-06-01 2019-07-01 2019-08-01 2019-09-01 2019-11-01 2019-12-01 2020-01-01 2020-03-01 2020-04-01 2020-05-01 2020-06-01
2020-07-01 2020-08-01 2020-11-01 2021-01-01 2021-02-01 2021-03-01 2021-04-01 2021-05-01 2021-06-01 2021-08-01 2021-12-01
2022-01-01 2022-05-01 2022-07-01 2022-09-01 2022-11-01 2023-02-01 2023-04-01 2023-05-01 2023-06-01 2023-09-01 2023-11-01
2024-01-01 2024-03-01 2024-05-01 2024-07-01 2024-10-01 2025-01-01 2025-03-01 2025-05-01 2025-07-01 2025-09-01
2026-01-01 2026-03-01""")
_MACHINES = _dates("""2015-05-01-preview 2015-06-15 2016-03-30 2016-04-30-preview 2016-08-30 2017-03-30 2017-12-01 2018-04-01
2018-06-01 2018-10-01 2019-03-01 2019-07-01 2019-12-01 2020-06-01 2020-12-01 2021-03-01 2021-04-01 2021-07-01 2021-11-01
2022-03-01 2022-08-01 2022-11-01 2023-03-01 2023-07-01 2023-09-01 2024-03-01 2024-07-01 2024-11-01 2025-04-01 2025-11-01
2026-03-01 2026-03-02 2026-04-01""")
_DISKS = _dates("""2016-04-30-preview 2017-03-30 2018-04-01 2018-06-01 2018-09-30 2019-03-01 2019-07-01 2019-11-01 2020-05-01
2020-06-30 2020-09-30 2020-12-01 2021-04-01 2021-08-01 2021-12-01 2022-03-02 2022-07-02 2023-01-02 2023-04-02 2023-10-02
2024-03-02 2025-01-02 2025-03-02 2026-03-02 2026-03-03""")
_SKUS = ["2017-03-30", "2017-09-01", "2019-04-01", "2021-07-01"]
_RESOURCES = _dates("""2014-04-01-preview 2015-01-01 2015-11-01 2016-02-01 2016-03-30 2016-06-01 2016-07-01 2016-09-01 2017-05-10
2018-01-01 2018-02-01 2018-05-01 2018-06-01 2018-07-01 2018-09-01 2018-11-01 2019-03-01 2019-05-01 2019-05-10 2019-06-01
2019-07-01 2019-08-01 2019-09-01 2019-10-01 2019-11-01 2020-01-01 2020-05-01 2020-06-01 2020-08-01 2020-09-01 2020-10-01
2021-01-01 2021-04-01 2022-01-01 2022-03-01-preview 2022-05-01 2022-06-01 2022-09-01 2022-12-01 2023-07-01
2023-07-01-preview 2024-03-01 2024-07-01 2024-11-01 2025-03-01 2025-04-01""")
_LOCKS = _dates("2015-01-01 2015-06-01 2016-09-01 2017-04-01 2020-05-01")

_PERMISSIONS = _dates(
    "2014-07-01-preview 2014-10-01-preview 2015-06-01 2015-07-01 2018-01-01-preview 2018-07-01 2022-04-01"
)

_FAMILIES = {"disks": _DISKS, "diskoperations": _DISKS, "skus": _SKUS}


def _known(namespace: str, kind: str) -> list[str]:
    if namespace.lower() == "microsoft.network":
        return _NETWORK
    if namespace.lower() == "microsoft.compute":
        return _FAMILIES.get(kind.lower(), _MACHINES)
    if namespace.lower() == "microsoft.authorization":
        return _PERMISSIONS if kind.lower() == "permissions" else _LOCKS
    return _RESOURCES


# properties that an older api-version doesn't show ([inf])
_SHOWN_SINCE = {"defaultOutboundAccess": "2023-09-01", "applicationGatewayIPConfigurations": "2021-08-01"}
_ALL_SHOWN_SINCE = max(_SHOWN_SINCE.values())


def shown(body: Any, version: str) -> Any:
    """A body as an api-version shows it."""
    if version >= _ALL_SHOWN_SINCE:
        return body
    if isinstance(body, dict):
        return {
            name: shown(value, version) for name, value in body.items() if version >= _SHOWN_SINCE.get(name, version)
        }
    return [shown(each, version) for each in body] if isinstance(body, list) else body


def check(version: str, namespace: str, kind: str) -> None:
    """Refuse a missing, malformed or unknown api-version in ARM's words."""
    if not version:
        raise errors.by_gateway(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    known = _known(namespace, kind)
    if not _FORM.match(version):
        raise errors.by_gateway(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(reversed(known))}'.",
        )
    if version in known or version[:10] > known[-1]:
        return
    if namespace.lower() == "microsoft.resources":
        raise errors.by_gateway(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(reversed(known))}'.",
        )
    raise errors.by_gateway(
        400,
        "NoRegisteredProviderFound",
        f"No registered resource provider found for location 'eastus' and API version '{version}' for type '{kind}'. "
        f"The supported api-versions are '{', '.join(known)}'. The supported locations are 'eastus, eastus2, westus'.",
    )
