"""A bad release of the chat function: it forgot that API Gateway passes the body as a string."""

import os

import boto3

MESSAGES = boto3.resource("dynamodb").Table(os.environ["MESSAGE_TABLE"])


def handle(event, context):
    """Fail on every request: ``event["body"]`` is text, and text has no ``chatSessionId``."""
    message = event["body"]
    MESSAGES.put_item(Item={"id": context.aws_request_id, "text": message["message"]})
    return {"statusCode": 200, "body": message["chatSessionId"]}
