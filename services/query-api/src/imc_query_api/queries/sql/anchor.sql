SELECT create_time, group_id, user_id
FROM {table}
WHERE app_id = ? AND {key} = ?
