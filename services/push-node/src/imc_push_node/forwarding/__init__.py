"""Passing on to command-api what gateways send."""
