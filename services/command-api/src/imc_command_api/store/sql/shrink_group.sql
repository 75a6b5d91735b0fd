message_total = {new.message_total},
newest_message_id = {new.newest_message_id},
newest_create_time = {new.newest_create_time}
