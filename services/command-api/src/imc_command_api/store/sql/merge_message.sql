content = CASE WHEN {retires} THEN '' ELSE content END,
recall_time = CASE WHEN {retires} THEN {new.recall_time} ELSE recall_time END,
recall_cause = CASE WHEN {retires} THEN {new.recall_cause} ELSE recall_cause END,
status = CASE WHEN {retires} THEN 0 ELSE status END,
log_id = COALESCE(log_id, {new.log_id}),
last_log_id = CASE
    WHEN last_log_id IS NULL OR last_log_id < {new.last_log_id}
    THEN {new.last_log_id} ELSE last_log_id END
