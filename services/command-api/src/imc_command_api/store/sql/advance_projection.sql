epoch = CASE WHEN position < {new.position} THEN {new.epoch} ELSE epoch END,
position = CASE WHEN position < {new.position} THEN {new.position} ELSE position END
