#!/bin/sh
# Tells Debian's exporter, which is older, what the arguments of a newer one say.
set -eu

for argument in "$@"; do
    case $argument in
        --mysqld.address=*) address=${argument#*=} ;;
        --mysqld.username=*) user=${argument#*=} ;;
        *) echo "unknown argument: $argument" >&2; exit 1 ;;
    esac
done
export DATA_SOURCE_NAME="$user:$MYSQLD_EXPORTER_PASSWORD@($address)/"
exec prometheus-mysqld-exporter
