"""URLs that an answer hands out, on the origin by which the caller reached us."""

from urllib.parse import quote, urlsplit


def api_base(url: str, path: str) -> str:
    """`https://host/api` of any URL of the API; only the path when the URL has no usable origin.

    path: of the route by which the URL is served, such as `spokes/{spoke_id}`; what stands before it is the host's prefix.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/api"
    origin = f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
    return origin + "/".join(parts.path.rstrip("/").split("/")[: -len(path.split("/"))])


def progress_url(base: str, spoke_id: int) -> str:
    return f"{base}/spokes/{spoke_id}/progress"


def deployment_url(base: str, deployment_id: str) -> str:
    return f"{base}/deployments/{quote(deployment_id, safe='')}"
