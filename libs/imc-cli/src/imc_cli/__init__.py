"""The command ``imc``: send, read and operate an installation of IMC from a shell."""
