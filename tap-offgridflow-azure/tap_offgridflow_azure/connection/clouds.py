"""The Azure clouds: where each signs in, where its APIs are, and what its tokens are for."""

from __future__ import annotations

from dataclasses import dataclass

#: The scope of tokens for Blob Storage, the same in all clouds.
STORAGE_SCOPE = "https://storage.azure.com/.default"

#: The scope of tokens for the Cloud for Sustainability API: its public application id.
IMPACT_SCOPE = "c3163bf1-092f-436b-b260-7ade5973e5b9/.default"

#: The Cloud for Sustainability API; it exists in the public cloud only.
IMPACT_URL = "https://api.mcfs.microsoft.com/api/v1.0"


@dataclass(frozen=True, slots=True)
class Cloud:
    """One of the Azure clouds.

    Attributes:
        authority_url: Where tokens come from.
        arm_url: Azure Resource Manager.
        arm_scope: The scope of its tokens; in US Government its host is another than that of the API.
    """

    authority_url: str
    arm_url: str
    arm_scope: str


#: By the value of the setting ``azure_cloud``; as azure-core and azure-mgmt-core have them.
CLOUDS = {
    "AzureCloud": Cloud(
        authority_url="https://login.microsoftonline.com",
        arm_url="https://management.azure.com",
        arm_scope="https://management.azure.com/.default",
    ),
    "AzureUSGovernment": Cloud(
        authority_url="https://login.microsoftonline.us",
        arm_url="https://management.usgovcloudapi.net",
        arm_scope="https://management.core.usgovcloudapi.net/.default",
    ),
    "AzureChinaCloud": Cloud(
        authority_url="https://login.chinacloudapi.cn",
        arm_url="https://management.chinacloudapi.cn",
        arm_scope="https://management.chinacloudapi.cn/.default",
    ),
}
