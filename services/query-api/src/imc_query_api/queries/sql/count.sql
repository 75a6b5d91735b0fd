SELECT COUNT(*)
FROM {indexed_table}
WHERE {condition} AND create_time >= ? AND create_time < ?
