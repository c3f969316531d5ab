"""/openapi.json: the API's own description."""

from urllib.parse import urlsplit

import azure.durable_functions as df

from shared.blocking import in_tables_thread
from shared.once import importing
from triggers.http.responses import Answer
from triggers.http.wiring import Call, http_function

blueprint = df.Blueprint()


@http_function(blueprint, "GET", "openapi.json")
async def get_openapi(call: Call) -> Answer:
    """The OpenAPI document, generated from the models."""
    document = await in_tables_thread(_generated)
    return Answer(200, {**document, "servers": [{"url": urlsplit(call.base).path or "/"}]})


def _generated() -> dict[str, object]:
    with importing:
        from triggers.http.openapi import openapi_document

    return openapi_document()
