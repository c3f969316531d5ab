"""URLs that an answer hands out, on the origin by which the caller reached us."""

import re
from urllib.parse import quote, urlsplit

# What follows the route prefix in every URL of ours.
_OURS = re.compile(r"/(?:spokes|deployments|v1|capacity|health|openapi\.json)(?:/|$)")


def api_base(url: str, route: str | None = None) -> str:
    """`https://host/api` of any URL of the API; only the path when the URL has no usable origin.

    route: by which the URL is served, such as `spokes/{spoke_id}`; what stands before it is the host's route prefix.
    """
    try:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
        path = parts.path
    except ValueError:
        return "/api"
    if route is not None:
        return origin + "/".join(path.rstrip("/").split("/")[: -len(route.split("/"))])
    found = _OURS.search(path)
    return origin + (path[: found.start()] if found else "/api")


def progress_url(base: str, spoke_id: int) -> str:
    return f"{base}/spokes/{spoke_id}/progress"


def deployment_url(base: str, deployment_id: str) -> str:
    return f"{base}/deployments/{quote(deployment_id, safe='')}"
