-- What each process and each other user may do in the database imc, and nothing more. Tables of others in that
-- database are not kept from these users. Fill the passwords in with fill-in.sh; run it as a user that may grant.
-- Repeatable: it also changes passwords.

-- imc-migrate makes and changes tables. It runs before the others, and for a moment.
CREATE USER IF NOT EXISTS 'imc-migrate'@'%';
ALTER USER 'imc-migrate'@'%' IDENTIFIED BY '@IMC_DB_MIGRATE_PASSWORD@';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX ON imc.* TO 'imc-migrate'@'%';

-- imc-command-api writes recalls and notices through, and looks up what it recalls.
CREATE USER IF NOT EXISTS 'imc-command-api'@'%';
ALTER USER 'imc-command-api'@'%' IDENTIFIED BY '@IMC_DB_COMMAND_API_PASSWORD@';
GRANT SELECT, INSERT, UPDATE ON imc.* TO 'imc-command-api'@'%';

-- imc-projector writes rows, and removes those that are erased or that the file of apps does not keep.
-- `imc deadletters --direct` is this user too.
CREATE USER IF NOT EXISTS 'imc-projector'@'%';
ALTER USER 'imc-projector'@'%' IDENTIFIED BY '@IMC_DB_PROJECTOR_PASSWORD@';
GRANT SELECT, INSERT, UPDATE, DELETE ON imc.* TO 'imc-projector'@'%';

-- imc-query-api reads.
CREATE USER IF NOT EXISTS 'imc-query-api'@'%';
ALTER USER 'imc-query-api'@'%' IDENTIFIED BY '@IMC_DB_QUERY_API_PASSWORD@';
GRANT SELECT ON imc.* TO 'imc-query-api'@'%';

-- imc-operator is for people who look after the server: they see who does what, end what holds locks, back up, and mend
-- triggers. MariaDB has names of its own for some of these rights.
CREATE USER IF NOT EXISTS 'imc-operator'@'%';
ALTER USER 'imc-operator'@'%' IDENTIFIED BY '@IMC_DB_OPERATOR_PASSWORD@';
GRANT PROCESS, REPLICATION CLIENT /*M! , SLAVE MONITOR, CONNECTION ADMIN */ /*!80000 , CONNECTION_ADMIN */ ON *.* TO 'imc-operator'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER ON imc.* TO 'imc-operator'@'%';

-- imc-exporter is for mysqld_exporter: figures of the server, and no rows.
CREATE USER IF NOT EXISTS 'imc-exporter'@'%';
ALTER USER 'imc-exporter'@'%' IDENTIFIED BY '@IMC_DB_EXPORTER_PASSWORD@';
GRANT PROCESS, REPLICATION CLIENT /*M! , SLAVE MONITOR */ ON *.* TO 'imc-exporter'@'%';
