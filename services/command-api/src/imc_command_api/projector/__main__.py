"""The process projector."""

from imc_service.http.guard.options import guarded
from imc_service.http.runner import run_service, service_of

from imc_command_api.projector.app import PROGRAM, create_app
from imc_command_api.projector.settings import ProjectorSettings


def main() -> None:
    """Project until SIGTERM."""
    run_service(PROGRAM, service_of(ProjectorSettings, create_app, guarded))


if __name__ == "__main__":
    main()
