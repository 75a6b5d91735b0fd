SELECT g.newest_create_time, g.newest_message_id, {size}, g.group_id, g.message_total
FROM (
    SELECT app_id, group_id
    FROM {indexed_groups}
    WHERE app_id = ? AND newest_create_time <= ? AND (newest_create_time < ? OR newest_message_id < ?)
    ORDER BY newest_create_time DESC, newest_message_id DESC
    LIMIT ?
) AS page
LEFT JOIN {groups} AS g ON g.app_id = page.app_id AND g.group_id = page.group_id
LEFT JOIN {messages} AS m ON m.app_id = g.app_id AND m.message_id = g.newest_message_id
