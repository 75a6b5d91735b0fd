"""The peers that IMC is compared with. Each runs in its own process."""
