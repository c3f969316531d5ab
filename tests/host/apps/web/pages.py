"""Functions in a blueprint."""

import azure.functions as func

pages = func.Blueprint()


@pages.route(route="pages/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
def page(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"page {req.route_params.get('path')}")
