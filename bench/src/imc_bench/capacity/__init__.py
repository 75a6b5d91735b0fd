"""What `imc-capacity` computes with: rows that measure its constants, and the constants made of all rows."""
