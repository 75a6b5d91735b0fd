"""Sends, recalls and queries with a client that openapi-python-client generated.

Usage: python main.py ADDRESS APP
"""

import json
import sys

from client import Client  # pyright: ignore
from client.api.commands import recall_message, send_message  # pyright: ignore
from client.api.queries import query_messages  # pyright: ignore
from client.models import RecallMessage, SendMessage  # pyright: ignore

address, app = sys.argv[1:]
imc = Client(base_url=address)
message = SendMessage(app_id=app, group_id="lobby", user_id="ann", content="hello", type_=3)
sent = send_message.sync(client=imc, body=message).data
recall = RecallMessage(app_id=app, message_id=sent.message_id, recall_cause="typo")
recalled = recall_message.sync(client=imc, body=recall).data
found = query_messages.sync(client=imc, app_id=app, group_id="lobby", limit=10).data.messages
said = {"sent": sent.to_dict(), "recalled": recalled.to_dict(), "found": [each.to_dict() for each in found]}
sys.stdout.write(json.dumps(said) + "\n")
