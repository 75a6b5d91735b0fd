SELECT {columns}
FROM {table}
WHERE app_id = ? AND {key} IN ({{ids}})
ORDER BY {key} {locked}
