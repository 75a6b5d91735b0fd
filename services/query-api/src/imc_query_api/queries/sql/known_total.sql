(
    SELECT message_total
    FROM {groups}
    WHERE app_id = ? AND group_id = ? AND newest_create_time < ? AND ? = 0
)
