#!/bin/sh
# Prints the Secrets of a trial, with new passwords: sh secrets.sh | kubectl create -f -
set -eu

deploy=$(dirname "$0")/../../..
random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
for user in REDIS_COMMAND_API REDIS_PROJECTOR REDIS_PUSH_NODE REDIS_QUERY_API REDIS_OPERATOR REDIS_EXPORTER \
    DB_MIGRATE DB_COMMAND_API DB_PROJECTOR DB_QUERY_API DB_OPERATOR DB_EXPORTER; do
    export "IMC_${user}_PASSWORD=$(random)"
done

# secret NAME KEY VALUE [KEY VALUE]...
secret() {
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: { name: %s, namespace: imc }\nstringData:\n' "$1"
    shift
    while [ $# -gt 0 ]; do
        printf '  %s: |-\n' "$1"
        printf '%s\n' "$2" | sed 's/^/    /'
        shift 2
    done
}

# log USER PASSWORD, database USER PASSWORD: where it is, for that user
log() { echo "redis://$1:$2@redis:6379/0"; }
database() { echo "mysql://imc-$1:$2@mariadb:3306/imc"; }

users_of_redis=$(sh "$deploy/fill-in.sh" "$deploy/redis/users.acl")
users_of_mariadb=$(sh "$deploy/fill-in.sh" "$deploy/mariadb/users.sql")
secret redis users.acl "$users_of_redis"
secret mariadb users.sql "$users_of_mariadb"
secret migrate IMC_DATABASE_URL "$(database migrate "$IMC_DB_MIGRATE_PASSWORD")"
secret command-api IMC_REDIS_URL "$(log command-api "$IMC_REDIS_COMMAND_API_PASSWORD")" \
    IMC_DATABASE_URL "$(database command-api "$IMC_DB_COMMAND_API_PASSWORD")"
secret projector IMC_REDIS_URL "$(log projector "$IMC_REDIS_PROJECTOR_PASSWORD")" \
    IMC_DATABASE_URL "$(database projector "$IMC_DB_PROJECTOR_PASSWORD")"
secret query-api IMC_REDIS_URL "$(log query-api "$IMC_REDIS_QUERY_API_PASSWORD")" \
    IMC_DATABASE_URL "$(database query-api "$IMC_DB_QUERY_API_PASSWORD")"
secret push-node IMC_REDIS_URL "$(log push-node "$IMC_REDIS_PUSH_NODE_PASSWORD")"
secret operator IMC_REDIS_OPERATOR_PASSWORD "$IMC_REDIS_OPERATOR_PASSWORD" \
    IMC_DB_OPERATOR_PASSWORD "$IMC_DB_OPERATOR_PASSWORD"
secret redis-exporter REDIS_ADDR redis://redis:6379 REDIS_PASSWORD "$IMC_REDIS_EXPORTER_PASSWORD"
secret mysqld-exporter MYSQLD_ADDRESS mariadb:3306 MYSQLD_EXPORTER_PASSWORD "$IMC_DB_EXPORTER_PASSWORD"
