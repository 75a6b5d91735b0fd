"""What `imc check` looks at."""
