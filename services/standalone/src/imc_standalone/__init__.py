"""All of IMC in one process and one origin, with an embedded log and database."""
