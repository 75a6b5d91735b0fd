"""The process command-api."""

from imc_service.http.guard.options import guarded
from imc_service.http.runner import run_service, service_of

from imc_command_api.app import PROGRAM, create_app
from imc_command_api.settings import CommandApiSettings


def main() -> None:
    """Serve until SIGTERM."""
    run_service(PROGRAM, service_of(CommandApiSettings, create_app, guarded))


if __name__ == "__main__":
    main()
