"""/openapi.json: the API's own description."""

import asyncio

import azure.durable_functions as df

from triggers.http.responses import Answer
from triggers.http.wiring import Call, http_function

blueprint = df.Blueprint()


@http_function(blueprint, "GET", "openapi.json")
async def get_openapi(call: Call) -> Answer:
    """The OpenAPI document, generated from the models."""

    def generated() -> dict[str, object]:
        from triggers.http.openapi import openapi_document

        return openapi_document()

    return Answer(200, await asyncio.to_thread(generated))
