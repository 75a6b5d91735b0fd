"""The process push-node."""

from imc_service.http.runner import run_service, service_of

from imc_push_node.app import PROGRAM, create_app, server_options
from imc_push_node.settings import PushNodeSettings


def main() -> None:
    """Serve until SIGTERM, then send the gateways away."""
    run_service(PROGRAM, service_of(PushNodeSettings, create_app, server_options))


if __name__ == "__main__":
    main()
