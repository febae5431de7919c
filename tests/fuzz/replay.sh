#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs a fuzz target, with an emulator before it if need be, on what is in the
# tree for it.  The last argument is the program, named as its target.
set -eu

for program; do :; done
name=$(basename "$program")
exec "$@" "tests/fuzz/corpus/$name" "tests/fuzz/regress/$name"
