SELECT {columns}
FROM {table} AS m
WHERE m.app_id = ? AND m.{key} > ?
ORDER BY m.{key}
LIMIT ?
