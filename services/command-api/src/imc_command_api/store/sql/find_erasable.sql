SELECT {columns}
FROM {source}
WHERE app_id = ? {subject} AND {place} >= ? AND (
    log_id < ?
    OR (log_id IS NULL AND (last_log_id IS NULL OR last_log_id < ? OR {key} < ?))
)
ORDER BY {place}
LIMIT ?
