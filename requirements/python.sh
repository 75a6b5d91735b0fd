#!/bin/sh
# Finds interpreters of the versions in requirements/python-versions, on the PATH and among those of pyenv.
#   python.sh best           the first one that is installed, as a path
#   python.sh others         all but that one, as lines of VERSION=PATH; names on standard error those that are not here
#   python.sh check PYTHON   ends with 1 and one line if PYTHON is none of them
# Run from the root of the project.
set -eu

supported=$(sed '/^#/d' requirements/python-versions)

# The version of an interpreter, as 3.13, if it runs and can make environments.
version_of() {
    "$1" -c 'import ensurepip, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# The path of an interpreter of version $1. A shim of pyenv may be on the PATH without a version behind it.
find_version() {
    home=${HOME:-/nonexistent}/.pyenv
    for python in "python$1" "${PYENV_ROOT:-$home}/versions/$1".*/bin/python "$home/versions/$1".*/bin/python python3
    do
        if [ "$(version_of "$python")" = "$1" ]; then
            "$python" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

case $1 in
    best)
        for version in $supported; do
            python=$(find_version "$version")
            if [ -n "$python" ]; then
                echo "$python"
                exit
            fi
        done
        echo "no Python here can run IMC: install one of" $supported "with its venv module, or set PYTHON to it" >&2
        exit 1 ;;
    others)
        best=
        for version in $supported; do
            python=$(find_version "$version")
            if [ -z "$python" ]; then
                echo "Python $version is not installed: no test runs on it" >&2
            elif [ -n "$best" ]; then
                echo "$version=$python"
            else
                best=$version
            fi
        done ;;
    check)
        if ! version=$("$2" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
            echo "$2 is no Python that runs: set PYTHON to one of" $supported >&2
            exit 1
        elif ! echo "$supported" | grep -qx "$version"; then
            echo "$2 is Python $version, and IMC needs one of" $supported": set PYTHON to it" >&2
            exit 1
        elif ! version_of "$2" >/dev/null; then
            echo "$2 can't make environments: install its venv module (python$version-venv on Debian)" >&2
            exit 1
        fi ;;
esac
