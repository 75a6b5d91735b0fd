#!/bin/sh
# Makes the environment that everything runs in: the installer in .uv, the pinned packages and ours in VENV.
# One that is whole and new enough is left alone; one that is neither is made again.
#   environment.sh PINS VENV PYTHON MEMBER...    from the root of the project; PYTHON may be empty
# PINS is dev for everything, or the name of a package for what that needs: the tenth of it, where nothing is there yet.
set -eu

pins=$1
venv=$2
python=$3
shift 3

python=${python:-$(sh requirements/python.sh best)}
sh requirements/python.sh check "$python"

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

no_network='newconnectionerror|connection (refused|reset|broken)|name resolution|dns error|unreachable|timed out'
no_network="$no_network|error sending request|client error .connect"

# Ends with one line if what failed is that there is no network, and with all that was said otherwise.
fetch() {
    if said=$("$@" 2>&1); then return; fi
    if echo "$said" | grep -qiE "$no_network"; then
        echo "the packages can't be fetched: the index at ${index:-its usual place} does not answer." \
            "Is there a network? (UV_DEFAULT_INDEX and PIP_INDEX_URL name another index)" >&2
    else
        echo "$said" >&2
    fi
    exit 1
}

if [ "$(version_of "$venv/bin/python")" != "$(version_of "$python")" ]; then rm -rf "$venv"; fi
manifests=
for member in "$@"; do manifests="$manifests $member/pyproject.toml"; done
# An environment with everything has what each package needs.
if [ -e "$venv/ready" ]; then pins=dev; fi
ready="$venv/ready"
if [ "$pins" != dev ]; then ready="$venv/ready-$pins"; fi
# Says something, too, where there is no such file yet.
if [ -z "$(find "requirements/$pins.txt" requirements/uv.txt $manifests -newer "$ready" 2>&1)" ]; then exit; fi

case $pins in dev) what="the tools and all packages" ;; *) what="what $pins needs" ;; esac
echo "installing $what into $venv, once: this takes a minute" >&2

if ! cmp -s requirements/uv.txt .uv/ready && ! .uv/bin/pip --version >/dev/null 2>&1; then
    rm -rf .uv
    "$python" -m venv .uv
fi
# A mirror that is set for pip is one for uv, too.
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(.uv/bin/pip config get global.index-url 2>/dev/null || true)}}
if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
if ! cmp -s requirements/uv.txt .uv/ready; then
    fetch .uv/bin/pip install --quiet --retries 1 --timeout 15 --require-hashes --requirement requirements/uv.txt
    cp requirements/uv.txt .uv/ready
fi
uv=.uv/bin/uv
export VIRTUAL_ENV="$venv"
if ! [ -x "$venv/bin/python" ]; then $uv venv --quiet --python "$python" "$venv"; fi
fetch $uv pip sync --quiet --require-hashes "requirements/$pins.txt"
for member in "$@"; do set -- "$@" --editable "./$member"; shift; done
if [ $# -gt 0 ]; then fetch $uv pip install --quiet --no-deps "$@"; fi
touch "$ready"
