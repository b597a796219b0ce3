# The scripts beside this file source it. It changes to the root of the repository and installs the package and its
# dependencies into $venv. If the first argument of the script is --latest, it installs TensorFlow 2.21.
set -euo pipefail
if [ "${1-}" = --latest ]; then
  shift
  venv=.venv-latest requirements=requirements-latest.txt versions='3.11 3.12 3.13' instead=''
else
  venv=.venv requirements=requirements.txt versions='3.11' instead=', or use --latest for current TensorFlow'
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

if ! cmp -s $requirements $venv/installed.txt ||
  { [ -n "${PYTHON-}" ] && [ "$(version "$PYTHON")" != "$(version $venv/bin/python)" ]; }; then
  candidates=(python3.11 python3.12 python3.13 python3)
  [ -z "${PYTHON-}" ] || candidates=("$PYTHON")
  for python in "${candidates[@]}"; do
    found=$(version "$python")
    [[ -n $found && " $versions " == *" $found "* ]] && break
    found=
  done
  if [ -z "$found" ]; then
    echo "error: Python ${versions// / or } is needed; set PYTHON=/path/to/python$instead" >&2
    exit 1
  fi
  echo "== Installing into $venv"
  rm -f $venv/installed.txt
  [ "$(version $venv/bin/python)" = "$found" ] || "$python" -m venv --clear $venv
  $venv/bin/python -m pip install --quiet --disable-pip-version-check -r $requirements
  $venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  cp $requirements $venv/installed.txt
fi
