"""From SQL to view: one module a question, plain statements, rows made the wire's dictionaries by hand.

A page is read in two steps of one statement: the ids of its rows from an index alone, however many are
passed by on the way, then those rows by primary key. The ids are joined from the left, since every dialect
keeps to that order, and the few rows are sorted here, since no dialect promises the order of a join. The
index is named in the statement: which one serves is known here, and only guessed at there.

Another question is another module here and another in http.
"""
