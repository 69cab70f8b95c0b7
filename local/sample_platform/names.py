"""What the operations runbook calls the parts of the platform."""

from __future__ import annotations

STACK = "EnergyInsightsStack"
MESSAGE_TABLE = "ChatMessage-prod"
MESSAGE_INDEX = "chatSessionId-index"
SESSION_TABLE = "ChatSession-prod"
CHAT_FUNCTION = "chat-lambda"
LIVE_ALIAS = "live"
API = "energy-insights-api"
STAGE = "prod"
CHAT_PATH = "/chat"
CHAT_ROLE = "energy-insights-chat"
TABLE_PARAMETER = "/energy-insights/chat-message-table"
ARTIFACT_BUCKET = "energy-insights-artifacts"
EXPORT_BUCKET = "energy-insights-exports"
API_KEY = "energy-insights/api-key"
CHAT_VARIABLES = "energy-insights/chat-variables"
GROUP = "Analysts"

#: API Gateway invents the id of an API. The local engine takes it from a tag instead, so the
#: product can be synthesised with the right id while the platform is still being deployed.
API_ID = "e1n2s3i4g5"
API_ID_TAG = "ms-custom-id"
#: The same goes for user pools.
USER_POOL_ID = "us-east-1_EnergyUsr"


def chat_url(endpoint: str) -> str:
    """Where an engine serves `POST /chat` of the platform."""
    return f"{endpoint}/restapis/{API_ID}/{STAGE}/_user_request_{CHAT_PATH}"
