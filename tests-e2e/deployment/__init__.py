"""What is said of the processes outside of their code, held against the code: manifests, compose file, alerts."""
