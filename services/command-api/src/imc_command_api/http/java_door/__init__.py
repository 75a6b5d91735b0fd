"""The commands at the paths of the Java version, for its clients.

Requests are read as that version reads them. The ``data`` of a reply is the id alone.
"""
