"""What a durable client parameter is given: the JSON from which the SDK makes its client."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

ID = "INSTANCEID"
WEBHOOK_PATH = "/runtime/webhooks/durabletask"
RPC_PATH = "/runtime/rpc"
CONNECTION = "Storage"


def url_encoded(text: str) -> str:
    """As .NET's WebUtility.UrlEncode writes it: a blank is `+`, which the API reads as one."""
    return quote_plus(text, safe="!*()").replace("~", "%7E")


@dataclass(frozen=True)
class Addresses:
    """Where the management API is to be found."""

    base_url: str
    hub_name: str
    system_key: str
    rpc_base_url: str

    @property
    def webhook(self) -> str:
        return f"{self.base_url}{WEBHOOK_PATH}"

    def management_urls(
        self, instance_id: str, hub: str | None = None, connection: str | None = None, origin: str | None = None
    ) -> dict[str, str]:
        """The system key stands in them as it is, with its `==`: as in Azure, where only the rest is escaped."""
        place = f"taskHub={url_encoded(hub or self.hub_name)}&connection={url_encoded(connection or CONNECTION)}"
        query = f"{place}&code={self.system_key}"
        one = f"{origin or self.base_url}{WEBHOOK_PATH}/instances/{url_encoded(instance_id)}"
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{one}?{query}",
            "sendEventPostUri": f"{one}/raiseEvent/{{eventName}}?{query}",
            "terminatePostUri": f"{one}/terminate?reason={{text}}&{query}",
            "rewindPostUri": f"{one}/rewind?reason={{text}}&{query}",
            "purgeHistoryDeleteUri": f"{one}?{query}",
            "restartPostUri": f"{one}/restart?{query}",
            "suspendPostUri": f"{one}/suspend?reason={{text}}&{query}",
            "resumePostUri": f"{one}/resume?reason={{text}}&{query}",
        }

    def binding(self, binding: dict[str, Any]) -> str:
        start = f"{self.webhook}/orchestrators/{{functionName}}[/{{instanceId}}]"
        code = f"code={self.system_key}"
        return json.dumps(
            {
                "taskHubName": binding.get("taskHub") or self.hub_name,
                "creationUrls": {
                    "createNewInstancePostUri": f"{start}?{code}",
                    "createAndWaitOnNewInstancePostUri": (
                        f"{start}?timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}&{code}"
                    ),
                },
                "managementUrls": self.management_urls(ID, binding.get("taskHub")),
                "baseUrl": self.webhook,
                "requiredQueryStringParameters": code,
                "rpcBaseUrl": self.rpc_base_url,
                "httpBaseUrl": self.webhook,
            }
        )
