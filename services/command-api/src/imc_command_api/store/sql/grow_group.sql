message_total = message_total + {new.message_total},
newest_message_id = CASE
    WHEN (newest_create_time, newest_message_id) < ({new.newest_create_time}, {new.newest_message_id})
    THEN {new.newest_message_id} ELSE newest_message_id END,
newest_create_time = CASE
    WHEN newest_create_time < {new.newest_create_time}
    THEN {new.newest_create_time} ELSE newest_create_time END
