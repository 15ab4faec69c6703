#!/bin/sh
# Stands in for a client that starts a stdio server: what it would start, it becomes.
for argument in "$@"; do
    shift
    if [ "$argument" = -- ]; then
        exec "$@"
    fi
done
