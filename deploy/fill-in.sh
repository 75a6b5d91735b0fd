#!/bin/sh
# Prints a template with each @IMC_NAME@ in it filled in from the environment, and without its comments.
#   fill-in.sh TEMPLATE
set -eu

exec awk '
/^(#|--)/ { next }
{
    while (match($0, /@IMC_[A-Z_]+@/)) {
        name = substr($0, RSTART + 1, RLENGTH - 2)
        value = ENVIRON[name]
        # Of these alone, so that no password can be more than a password where it is put.
        if (value !~ /^[A-Za-z0-9._~-]+$/) {
            print name " must be set, to letters, digits and . _ ~ - alone" > "/dev/stderr"
            exit 1
        }
        $0 = substr($0, 1, RSTART - 1) value substr($0, RSTART + RLENGTH)
    }
    print
}' "$1"
