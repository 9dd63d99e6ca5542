#!/usr/bin/env bash
# Makes a release from a clean tag: checks that tag, version and changelog agree, then builds and checks the wheels and
# the sdist (wheels.sh) and prints their hashes. Publishing them is left to the owner.
#
#   bash scripts/release.sh           into dist/
#   bash scripts/release.sh --check   the checks of tag, version and changelog alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

refuse() {
  echo "release: $1" >&2
  exit 1
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' flaxnoise/__init__.py)
[[ -n $version ]] || refuse "flaxnoise/__init__.py has no version"
[[ -z $(git status --porcelain) ]] || refuse "the working tree has changes that are not committed"
git tag --points-at HEAD | grep -qxF "v$version" || refuse "the commit must have the tag v$version"
grep -qE "^## ${version//./\\.} \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$" CHANGELOG.md ||
  refuse "CHANGELOG.md must have the section '## $version (YYYY-MM-DD)'"
echo "release: $version, tag, version and changelog agree"
[[ ${1:-} == --check ]] || {
  bash scripts/wheels.sh
  (cd dist && sha256sum -- *)
}
