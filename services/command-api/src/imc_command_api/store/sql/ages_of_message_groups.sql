SELECT page.group_id, {oldest}, page.newest_create_time, {newest_notice}, {newest_deleted_notice}
FROM (
    SELECT app_id, group_id, newest_create_time
    FROM {groups} {through_key}
    WHERE app_id = ? AND group_id > ?
    ORDER BY group_id
    LIMIT ?
) AS page
