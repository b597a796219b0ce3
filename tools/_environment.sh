# Sourced by the scripts beside it: goes to the repository and sees to it that $venv has what $requirements asks for.
venv=${venv:-.venv}
requirements=${requirements:-requirements.txt}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3)}
if [ $requirements = requirements.txt ] && ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  echo "error: Python 3.11 is needed; name one as PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! cmp -s $requirements $venv/installed.txt; then
  echo "== Installing into $venv"
  "$PYTHON" -m venv $venv
  $venv/bin/python -m pip install --quiet --disable-pip-version-check -r $requirements
  cp $requirements $venv/installed.txt
fi
