#!/bin/sh
# Leaves the changed locks in the working tree and what a reviewer wants to know beside them. A server whose update is refused or fails doesn't
# keep the others from the pull request; the job says so at its end.
set -eu
set -f # names are words, no patterns
body=${RUNNER_TEMP:?}/mcp-build-update.md
status=0
# shellcheck disable=SC2086 # words on purpose
mcp-build update ${NAMES:-} --write --test --markdown >"$body" || status=$?
echo "status=$status" >>"${GITHUB_OUTPUT:?}"
cat "$body" >>"${GITHUB_STEP_SUMMARY:?}"
if [ -n "$(git status --porcelain -- mcp-build.yaml lockfiles)" ]; then echo 'changed=true' >>"$GITHUB_OUTPUT"; fi
