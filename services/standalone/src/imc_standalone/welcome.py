"""What a person reads who has just started standalone."""

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
