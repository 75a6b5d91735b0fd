SELECT message_id, create_time
FROM {messages_by_time}
WHERE app_id = ? AND group_id = ?
ORDER BY create_time DESC, message_id DESC
LIMIT 1
