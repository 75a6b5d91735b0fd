"""What a person reads who starts or ends standalone."""

from imc_push_node.cluster.drain import SETTLE_SECONDS
from imc_service.http.server import reachable
from imc_service.urls import authority

from imc_standalone.settings import StandaloneSettings


def welcome(settings: StandaloneSettings) -> str:
    """Where everything is, and what to do next."""
    at = authority(reachable(settings.host), settings.port)
    data = str(settings.data_dir) if settings.is_embedded else "in the Redis and the database that you gave"
    return f"""
IMC runs at http://{at}   (data: {data}; Ctrl-C ends it)

Listen as a gateway of the app "demo":
  .venv/bin/python -m websockets ws://{at}/v1/gateways/demo/gateway-1

Send a message to it, from another terminal:
  curl http://{at}/v1/commands/send-message -H 'Content-Type: application/json' \\
    -d '{{"appId": "demo", "groupId": "lobby", "userId": "ann", "content": "hello"}}'

Read it again:
  curl 'http://{at}/v1/queries/messages?appId=demo&groupId=lobby'

In the browser:
  http://{at}/console/   look at it, and operate it
  http://{at}/docs       every call, to try out
"""


def farewell(settings: StandaloneSettings) -> str:
    """What it does at its end, and how long that may take."""
    seconds = settings.drain_delay_seconds + settings.drain_seconds + SETTLE_SECONDS
    return f"IMC ends, within {seconds:g} seconds: it answers what it was sent. Ctrl-C again ends it at once."
