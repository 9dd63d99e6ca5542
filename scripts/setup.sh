# shellcheck shell=bash
# Sourced by the other scripts from the root of the repository: `setup EXTRA` creates a virtual environment, installs
# this checkout with that extra in it, editable, and sets $venv to the environment's path. Fast if nothing changed.
#
#   PYTHON=       the interpreter (default: python3). Its environment is .venv, or .venv-X.Y if its version is not that
#                 of python3, so that several versions exist side by side.
#   JAX_VERSION=  the version of jax and jaxlib, such as 0.11.2 (default: the newest that pip finds). It is appended to
#                 the environment's name: .venv-3.12-jax-0.11.2.

setup() {
  local extra=$1 python=${PYTHON:-python3} version print_version made modules installed jax=${JAX_VERSION:-}
  print_version='import sys; print("%d.%d" % sys.version_info[:2])'
  version=$("$python" -c "$print_version") || stop "$python does not run. Name another: PYTHON=python3.12"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "Python 3.11 or later is needed, $python is $version. Name another: PYTHON=python3.12"

  venv=$PWD/.venv
  if [[ -n ${PYTHON:-} && $version != "$(python3 -c "$print_version" 2>/dev/null)" ]]; then
    venv=$PWD/.venv-$version
  fi
  venv=$venv${jax:+-jax-$jax}
  if command -v flock >/dev/null; then # two runs at once: the second waits
    exec 9>"$venv.lock"
    flock 9
  fi

  made=$(fingerprint "$python" "$venv")
  if [[ $made != "$(cat "$venv/.made" 2>/dev/null)" ]]; then
    echo "setup: making $venv"
    make_venv "$python" || stop "$python can make no virtual environment"
    echo "$made" >"$venv/.made"
  fi

  # The names of all modules, since an editable installation records where each one is.
  modules=$(find flaxnoise -name '*.py' | LC_ALL=C sort)
  installed=$(fingerprint "$python" "$venv $modules" pyproject.toml flaxnoise/backends/cpu/cpp)
  if [[ $installed != "$(cat "$venv/.installed-$extra" 2>/dev/null)" ]]; then
    echo "setup: installing flaxnoise[$extra] into $venv (minutes the first time)"
    rm -f "$venv/.installed-$extra"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable ".[$extra]" \
      ${jax:+"jax==$jax" "jaxlib==$jax"} ||
      stop "pip could not install flaxnoise[$extra]; see its message above"
    echo "$installed" >"$venv/.installed-$extra"
  fi
  if command -v flock >/dev/null; then exec 9>&-; fi
}

stop() {
  echo "setup: $1" >&2
  exit 1
}

# Prints a hash of the interpreter, the second argument, and the contents of the files and folders that follow.
fingerprint() {
  "$1" - "${@:2}" <<'PYTHON'
import hashlib, pathlib, sys

place, *contents = sys.argv[1:]
digest = hashlib.sha256(repr((sys.version, sys.base_prefix, place)).encode())
for path in map(pathlib.Path, contents):
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(str(file).encode() + b"\0" + file.read_bytes())
print(digest.hexdigest())
PYTHON
}

# Debian's python3 has no ensurepip: there, the interpreter's own pip installs pip into the environment.
make_venv() {
  "$1" -m venv --clear "$venv" ||
    { "$1" -m venv --clear --without-pip "$venv" && "$1" -m pip --python "$venv" install -qq pip; }
}
