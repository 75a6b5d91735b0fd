"""Queries, one module each: plain SQL statements, and rows converted to the dictionaries of the wire.

A statement of more than one line is a file in ``sql/``.

One statement reads a page in two steps: the ids of its rows from an index, which is cheap even if many rows
are skipped, then those rows by primary key. A LEFT JOIN keeps this order in every dialect. The rows are
sorted here, since SQL does not guarantee the order of a join. The statement names the index, since the
optimizer only guesses which one is right.

A new query needs a module here and one in http.
"""
