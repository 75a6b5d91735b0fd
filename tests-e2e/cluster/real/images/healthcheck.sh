#!/bin/sh
# Whether the server takes connections, which it does once its engine is there. It needs no user for that.
exec mariadb-admin --no-defaults --socket=/run/mysqld/mysqld.sock ping
