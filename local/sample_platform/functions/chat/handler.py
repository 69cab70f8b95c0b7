"""Chat function of the sample platform: keeps a message and returns the conversation."""

import json
import os
import uuid
from datetime import UTC, datetime

import boto3
from boto3.dynamodb.conditions import Key

DYNAMODB = boto3.resource("dynamodb")
MESSAGES = DYNAMODB.Table(os.environ["MESSAGE_TABLE"])
SESSIONS = DYNAMODB.Table(os.environ["SESSION_TABLE"])
LATEST = 20


def handle(event, context):
    """Answer ``POST /chat``: 200 with the conversation, 400 when the body is not one of ours.

    A smoke test (``{"smoke": true}``) is answered without keeping anything.
    """
    if event.get("smoke"):
        return _answer(200, {"ok": True})
    try:
        body = json.loads(event.get("body") or "")
        session_id, message = body["chatSessionId"], body["message"]
    except (ValueError, KeyError, TypeError):
        return _answer(400, {"error": "body must be JSON with chatSessionId and message"})
    now = datetime.now(UTC).isoformat()
    MESSAGES.put_item(
        Item={
            "id": str(uuid.uuid4()),
            "chatSessionId": session_id,
            "createdAt": now,
            "text": message,
        }
    )
    SESSIONS.update_item(
        Key={"id": session_id},
        UpdateExpression="SET lastMessageAt = :now ADD messageCount :one",
        ExpressionAttributeValues={":now": now, ":one": 1},
    )
    return _answer(200, {"chatSessionId": session_id, "messages": _conversation(session_id)})


def _conversation(session_id):
    page = MESSAGES.query(
        IndexName=os.environ["MESSAGE_INDEX"],
        KeyConditionExpression=Key("chatSessionId").eq(session_id),
        ScanIndexForward=False,
        Limit=LATEST,
    )
    return [item["text"] for item in reversed(page["Items"])]


def _answer(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
