#!/bin/sh
# Puts one package into a virtual environment, from the hashed pins alone. Run where requirements/, libs/ and services/
# are; what it makes needs none of them. For images, and wherever else a process is to be installed.
#   install.sh PACKAGE ENVIRONMENT    PACKAGE is a folder of services/
set -eu

package=$1
environment=$2

uv venv --quiet "$environment"
uv pip install --quiet --python "$environment" --require-hashes --requirement "requirements/$package.txt"

# Standalone runs the other services' packages; each of those stands on the libraries alone. The command line is in the
# images of command-api, whose tables and logs it looks at, and of standalone.
tools="libs/imc-capacity libs/imc-gateway libs/imc-cli"
case $package in
    command-api) members="libs/imc-contracts libs/imc-service $tools services/$package" ;;
    standalone) members="libs/imc-contracts libs/imc-service $tools services/*" ;;
    *) members="libs/imc-contracts libs/imc-service services/$package" ;;
esac
# Offline: all that was not pinned would have to be fetched now.
for member in $members; do set -- "$@" "./$member"; done
shift 2
uv pip install --quiet --offline --python "$environment" --no-deps --no-sources "$@"

# What the image runs unless it is told otherwise.
ln -s "imc-$package" "$environment/bin/imc-service"
