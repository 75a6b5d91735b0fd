"""``imc-migrate adopt``: copies the rows of the Java version into our tables.

Nothing in the Java tables is changed. `source` reads them, `rows` converts a row or says why it can't be one
of ours, `writer` writes a chunk, `progress` keeps how far it is, `rejects` keeps what was not copied, and
`passes` puts these together. `command` is the command line.
"""
