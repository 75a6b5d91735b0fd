SELECT page.group_id, {oldest}, g.newest_create_time, {newest_notice}, {newest_deleted_notice}
FROM (
    SELECT DISTINCT app_id, group_id
    FROM {notices}
    WHERE app_id = ? AND group_id > ?
    ORDER BY group_id
    LIMIT ?
) AS page
LEFT JOIN {groups} AS g {through_key}
    ON g.app_id = page.app_id AND g.group_id = page.group_id
