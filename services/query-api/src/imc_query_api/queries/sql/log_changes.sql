SELECT {columns}, page.place
FROM (
    SELECT app_id, {key}, {place} AS place
    FROM {indexed_table}
    WHERE {condition} AND {place} > ? AND {place} < ?
    ORDER BY {place}
    LIMIT ?
) AS page
LEFT JOIN {table} AS m ON m.app_id = page.app_id AND m.{key} = page.{key}
