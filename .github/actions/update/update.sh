#!/bin/sh
# Leaves the changed locks in the working tree and what a reviewer wants to know beside them.
set -eu
set -f # names are words, no patterns
# shellcheck disable=SC2086 # words on purpose
mcp-build update ${NAMES:-} --markdown >"${RUNNER_TEMP:?}/mcp-build-update.md"
if git diff --quiet -- mcp-build.yaml lockfiles && [ -z "$(git ls-files --others --exclude-standard -- lockfiles)" ]; then
  echo 'changed=false' >>"${GITHUB_OUTPUT:?}"
else
  echo 'changed=true' >>"${GITHUB_OUTPUT:?}"
  cat "$RUNNER_TEMP/mcp-build-update.md" >>"${GITHUB_STEP_SUMMARY:?}"
fi
