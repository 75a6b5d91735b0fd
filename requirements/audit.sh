#!/bin/sh
# Looks for known vulnerabilities in every file of pins.
#   audit.sh PIP_AUDIT    from the root of the project; `make audit` gives it the one that is pinned
# Ends with 0 if the index tells of none, with 1 if it tells of one, and with 3 if it could not be asked of all pins:
# mirrors often hold packages and nothing about them. Where that is so, a check that must pass is
#   sh requirements/audit.sh .audit/bin/pip-audit || [ $? -eq 3 ]
# and another is needed where PyPI itself can be asked (UV_DEFAULT_INDEX).
set -eu

vulnerable=0
unknown=0
for pins in requirements/*.txt; do
    status=0
    found=$("$1" --progress-spinner off --require-hashes --disable-pip \
        --requirement "$pins" 2>&1) || status=$?
    if printf '%s\n' "$found" | grep -q '^Found [0-9]* known vulnerabilit'; then
        vulnerable=1
        printf '%s: vulnerable\n%s\n' "$pins" "$found"
    elif count=$(printf '%s\n' "$found" | grep -c 'could not be audited'); then
        unknown=1
        echo "$pins: not audited: the index tells nothing of $count pins"
    elif [ "$status" -ne 0 ]; then
        unknown=1
        printf '%s: not audited: %s\n' "$pins" "$found"
    else
        echo "$pins: no known vulnerability"
    fi
done

if [ "$vulnerable" -ne 0 ]; then
    echo "audit: there are known vulnerabilities" >&2
    exit 1
elif [ "$unknown" -ne 0 ]; then
    echo "audit: not all pins were audited: use an index that tells of vulnerabilities, as PyPI does" >&2
    exit 3
fi
