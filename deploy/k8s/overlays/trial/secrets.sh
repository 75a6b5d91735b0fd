#!/bin/sh
# Prints the Secrets of a trial, with passwords made up anew: sh secrets.sh | kubectl create -f -
set -eu

random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
redis=$(random)
mariadb=$(random)
log="redis://:$redis@redis:6379/0"
database="mysql://imc:$mariadb@mariadb:3306/imc"

# secret NAME KEY VALUE [KEY VALUE]...
secret() {
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: { name: %s, namespace: imc }\nstringData:\n' "$1"
    shift
    while [ $# -gt 0 ]; do
        printf '  %s: "%s"\n' "$1" "$2"
        shift 2
    done
}

secret redis REDISCLI_AUTH "$redis"
secret mariadb MARIADB_PASSWORD "$mariadb"
secret migrate IMC_DATABASE_URL "$database"
secret command-api IMC_REDIS_URL "$log" IMC_DATABASE_URL "$database"
secret projector IMC_REDIS_URL "$log" IMC_DATABASE_URL "$database"
secret query-api IMC_DATABASE_URL "$database"
secret push-node IMC_REDIS_URL "$log"
