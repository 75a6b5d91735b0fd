UPDATE {table}
SET messages = messages + ?,
    notices = notices + ?,
    log_entries = CASE WHEN log_entries < ? THEN ? ELSE log_entries END,
    dead_letters = dead_letters + ?
WHERE app_id = ? AND erasure_id = ?
