delete_time = CASE WHEN {retires} THEN {new.delete_time} ELSE delete_time END,
status = CASE WHEN {retires} THEN 0 ELSE status END,
log_id = COALESCE(log_id, {new.log_id}),
last_log_id = CASE
    WHEN last_log_id IS NULL OR last_log_id < {new.last_log_id}
    THEN {new.last_log_id} ELSE last_log_id END
