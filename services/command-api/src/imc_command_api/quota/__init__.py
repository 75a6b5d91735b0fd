"""What an app may send: decided in the append script, remembered here."""
