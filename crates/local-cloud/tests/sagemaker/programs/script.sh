#!/bin/sh
# A model server that is started by a script, as a process of its own.
"$(dirname "$0")/../../programs/batch_model.py" "$@"
exit $?
