#!/usr/bin/env bash
# Sets up .venv and runs the tests. Passes arguments to pytest: tools/test.sh tests/test_metrics.py
# --latest, as the first argument, uses TensorFlow 2.21 in .venv-latest: tools/test.sh --latest tests/models
# --fast, as the next argument, runs one minute of tests that cover every package.
set -euo pipefail
source "$(dirname "$0")/_environment.sh"
export TF_CPP_MIN_LOG_LEVEL=3 TF_FORCE_GPU_ALLOW_GROWTH=true  # several processes share a GPU
$venv/bin/ruff check .
$venv/bin/ruff format --check .
if [ "${1-}" = --fast ]; then
  shift
  set -- $(grep -v '^#' tests/fast.txt) "$@"
fi
exec $venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
