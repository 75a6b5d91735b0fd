SELECT create_time, {key}
FROM {rows}
WHERE app_id = ? AND group_id = ? AND {condition}
    AND create_time >= ? AND create_time < ? AND (create_time > ? OR {key} > ?)
ORDER BY create_time, {key}
LIMIT ?
