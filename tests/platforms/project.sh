#!/usr/bin/env bash
# project.sh ROOT: put a fresh copy of the project into ROOT/project, so that what runs there leaves
# nothing in the working tree.
set -euo pipefail
rm -rf "$1/project"
mkdir "$1/project"
tar -C "$(dirname "$0")/../.." --exclude='./.*' -cf - . | tar -C "$1/project" -xf -
