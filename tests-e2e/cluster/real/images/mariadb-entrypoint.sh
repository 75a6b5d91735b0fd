#!/bin/sh
# Makes the server's own tables and an empty database at the first start, then runs the server with its arguments.
set -eu

if ! [ -d /var/lib/mysql/mysql ]; then
    mariadb-install-db --no-defaults --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db
    echo "CREATE DATABASE $MARIADB_DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;" \
        | mariadbd --no-defaults --datadir=/var/lib/mysql --bootstrap
fi
if [ "$1" = mariadbd ]; then shift; fi
exec mariadbd --datadir=/var/lib/mysql --bind-address=0.0.0.0 --skip-name-resolve \
    --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid "$@"
