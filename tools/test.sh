#!/usr/bin/env bash
# Sets up .venv and runs the tests. Arguments go to pytest: tools/test.sh tests/test_metrics.py
# With --latest first, the same with current TensorFlow in .venv-latest: tools/test.sh --latest tests/models
set -euo pipefail
source "$(dirname "$0")/_environment.sh"
export TF_CPP_MIN_LOG_LEVEL=3 TF_FORCE_GPU_ALLOW_GROWTH=true  # several processes share a GPU
$venv/bin/ruff check .
$venv/bin/ruff format --check .
exec $venv/bin/python -m pytest -n 2 --dist loadfile "$@"
