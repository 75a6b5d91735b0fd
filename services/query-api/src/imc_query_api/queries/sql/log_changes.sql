SELECT page.{key}, {size}, page.entry_id
FROM (
    SELECT app_id, {key}, {log_id} AS entry_id
    FROM {indexed_table}
    WHERE {condition} AND {log_id} > ? AND {log_id} < ?
    ORDER BY {log_id}
    LIMIT ?
) AS page
LEFT JOIN {table} AS m ON m.app_id = page.app_id AND m.{key} = page.{key}
