SELECT {columns}
FROM {table}
WHERE app_id = ? AND erasure_id <= ? AND erasure_id >= ?
ORDER BY erasure_id DESC
LIMIT ?
