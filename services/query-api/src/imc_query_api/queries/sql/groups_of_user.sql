SELECT g.newest_create_time, g.newest_message_id, {size}, own.group_id, g.message_total, own.passed
FROM (
    SELECT group_id, COUNT(*) AS passed
    FROM (
        SELECT group_id
        FROM {indexed_messages}
        WHERE app_id = ? AND user_id = ? AND group_id > ?
        ORDER BY group_id
        LIMIT {leap}
    ) AS stretch
    GROUP BY group_id
    ORDER BY NULL
) AS own
LEFT JOIN {groups} AS g ON g.app_id = ? AND g.group_id = own.group_id
LEFT JOIN {messages} AS m ON m.app_id = g.app_id AND m.message_id = g.newest_message_id
