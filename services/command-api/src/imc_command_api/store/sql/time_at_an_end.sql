(
    SELECT m.create_time
    FROM {rows}
    WHERE m.app_id = page.app_id AND m.group_id = page.group_id AND {condition}
    ORDER BY m.create_time {direction}
    LIMIT 1
)
