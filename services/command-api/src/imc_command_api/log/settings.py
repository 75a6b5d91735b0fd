"""The settings of what writes the logs, and of what reads them to store them."""

from imc_service.settings import Settings
from pydantic import Field


class ReplicaSettings(Settings):
    """Both wait for as many replicas, so that nothing is stored that a failover may still lose."""

    ack_replicas: int = Field(
        0,
        ge=0,
        le=16,
        description="replicas of Redis that must have a send before it is acknowledged, and before it is "
        "stored; 0 waits for none",
    )
