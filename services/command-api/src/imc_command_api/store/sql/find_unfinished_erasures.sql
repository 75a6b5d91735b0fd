SELECT erasure_id, app_id, user_id, group_id, log_id, stage
FROM {table}
WHERE finish_time = 0
ORDER BY app_id, erasure_id
LIMIT ?
