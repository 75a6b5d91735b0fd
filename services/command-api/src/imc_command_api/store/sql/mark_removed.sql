removed_to = CASE
    WHEN removed_to IS NULL OR removed_to < {new.removed_to} THEN {new.removed_to} ELSE removed_to END
