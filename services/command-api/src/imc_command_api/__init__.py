"""The command side: takes sends, recalls and notices, writes the log, projects it into the database."""
