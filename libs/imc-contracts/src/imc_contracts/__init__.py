"""What crosses a process boundary of IMC, and nothing else: no I/O, no settings, no clock."""
