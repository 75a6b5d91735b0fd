SELECT {columns}
FROM (
    SELECT app_id, {key}
    FROM {indexed_table}
    WHERE {condition} AND create_time >= ? AND create_time < ?
    ORDER BY create_time {direction}, {key} {direction}
    LIMIT ? OFFSET ?
) AS page
LEFT JOIN {table} AS m ON m.app_id = page.app_id AND m.{key} = page.{key}
