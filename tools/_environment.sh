# Sourced by the scripts beside it: goes to the repository and sees to it that $venv has what it needs.
# With --latest as the script's first argument, that is current TensorFlow.
if [ "${1-}" = --latest ]; then
  shift
  venv=.venv-latest requirements=requirements-latest.txt versions='3.11 3.12 3.13' instead=''
else
  venv=.venv requirements=requirements.txt versions='3.11' instead=', or give --latest for current TensorFlow'
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3)}
if [[ " $versions " != *" $("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])') "* ]]; then
  echo "error: Python ${versions// / or } is needed; name one as PYTHON=/path/to/python$instead" >&2
  exit 1
fi
if ! cmp -s $requirements $venv/installed.txt; then
  echo "== Installing into $venv"
  "$PYTHON" -m venv $venv
  $venv/bin/python -m pip install --quiet --disable-pip-version-check -r $requirements
  cp $requirements $venv/installed.txt
fi
