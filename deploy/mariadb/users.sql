-- What each process may do in the database imc, and nothing more. Fill the passwords in with fill-in.sh; run it as
-- a user that may grant. Repeatable: it also changes passwords.

-- imc-migrate makes and changes tables. It runs before the others, and for a moment.
CREATE USER IF NOT EXISTS 'imc-migrate'@'%';
ALTER USER 'imc-migrate'@'%' IDENTIFIED BY '@IMC_DB_MIGRATE_PASSWORD@';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX ON imc.* TO 'imc-migrate'@'%';

-- imc-command-api writes recalls and notices through, and looks up what it recalls.
CREATE USER IF NOT EXISTS 'imc-command-api'@'%';
ALTER USER 'imc-command-api'@'%' IDENTIFIED BY '@IMC_DB_COMMAND_API_PASSWORD@';
GRANT SELECT, INSERT, UPDATE ON imc.* TO 'imc-command-api'@'%';

-- imc-projector writes rows; so does imc-deadletters.
CREATE USER IF NOT EXISTS 'imc-projector'@'%';
ALTER USER 'imc-projector'@'%' IDENTIFIED BY '@IMC_DB_PROJECTOR_PASSWORD@';
GRANT SELECT, INSERT, UPDATE ON imc.* TO 'imc-projector'@'%';

-- imc-query-api reads.
CREATE USER IF NOT EXISTS 'imc-query-api'@'%';
ALTER USER 'imc-query-api'@'%' IDENTIFIED BY '@IMC_DB_QUERY_API_PASSWORD@';
GRANT SELECT ON imc.* TO 'imc-query-api'@'%';
