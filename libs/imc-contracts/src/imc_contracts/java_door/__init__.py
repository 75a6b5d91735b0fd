"""Requests of clients of the Java version of IMC, read as that version reads them."""
