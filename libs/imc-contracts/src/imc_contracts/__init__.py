"""The data that IMC processes exchange. No I/O, no settings, no clock."""
