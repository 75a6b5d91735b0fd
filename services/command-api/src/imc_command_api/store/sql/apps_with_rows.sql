SELECT app_id
FROM (SELECT app_id FROM {projections} WHERE app_id > ? ORDER BY app_id LIMIT ?) AS logged
UNION
SELECT app_id
FROM (SELECT DISTINCT app_id FROM {groups} WHERE app_id > ? ORDER BY app_id LIMIT ?) AS written
UNION
SELECT app_id
FROM (SELECT DISTINCT app_id FROM {notices} WHERE app_id > ? ORDER BY app_id LIMIT ?) AS told
ORDER BY app_id
LIMIT ?
