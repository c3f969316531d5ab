# The app in a container, on the Functions host that Azure runs. `docker compose up` starts it beside Azurite.
# BASE_IMAGE takes a digest as well; docs/deploying.md says how to get it.
ARG PYTHON_VERSION=3.12
ARG BASE_IMAGE=mcr.microsoft.com/azure-functions/python:4-python${PYTHON_VERSION}
FROM ${BASE_IMAGE}

ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true

COPY requirements.txt /home/site/wwwroot/
RUN python -m pip install --quiet --no-cache-dir --require-hashes --requirement /home/site/wwwroot/requirements.txt

COPY function_app.py host.json /home/site/wwwroot/
COPY triggers /home/site/wwwroot/triggers
COPY orchestrators /home/site/wwwroot/orchestrators
COPY activities /home/site/wwwroot/activities
COPY shared /home/site/wwwroot/shared
COPY infra/roles /home/site/wwwroot/infra/roles
# Without compiled bytecode a cold start compiles the app first.
RUN python -m compileall -q /home/site/wwwroot
