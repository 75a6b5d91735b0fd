SELECT {columns}
FROM {table} AS m {through_key}
WHERE m.app_id = ? AND m.{key} IN ({keys})
