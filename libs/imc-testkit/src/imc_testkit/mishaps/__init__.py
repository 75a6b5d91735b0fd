"""What happens to an installation in a soak: mishaps, each of which lasts a moment and is made good."""
