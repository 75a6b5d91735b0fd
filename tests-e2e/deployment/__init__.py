"""What manifests, alerts and the compose file say of the processes, held against their code."""
