#!/bin/sh
# Looks for known vulnerabilities in every file of pins; fails on one, and where the index knows nothing of the pins.
#   audit.sh UV    from the root of the project
set -eu

for pins in requirements/*.txt; do
    if found=$("$1" tool run --quiet pip-audit --progress-spinner off --require-hashes --disable-pip \
        --requirement "$pins" 2>&1); then
        known=0
    else
        known=$?
    fi
    printf '%s\n%s\n' "$pins" "$found"
    if printf '%s' "$found" | grep -q 'could not be audited'; then
        echo "audit: the index does not tell of vulnerabilities for all pins in $pins; use one that does" >&2
        exit 1
    fi
    [ "$known" -eq 0 ] || exit "$known"
done
