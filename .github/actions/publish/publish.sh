#!/bin/sh
# Everything comes in variables, never as text of this script: names and addresses may hold what a shell would run.
set -eu
set -f # names are words, no patterns

if [ -n "${REGISTRY_USERNAME:-}" ]; then
  host=${REGISTRY:-${MCP_BUILD_REGISTRY:-}}
  printf '%s' "${REGISTRY_PASSWORD:?is empty}" |
    mcp-build login "${host%%/*}" --username "$REGISTRY_USERNAME" --password-stdin
fi

# shellcheck disable=SC2086 # words on purpose
set -- ${NAMES:-}
if [ -n "${REGISTRY:-}" ]; then set -- "$@" --to "$REGISTRY"; fi
if [ -n "${POLICY:-}" ]; then set -- "$@" --policy "$POLICY"; fi
case ${MODE:-all} in
  # What runs the packages' code has nothing to sign or push with …
  check) set -- "$@" --dry-run ;;
  # … and what has, runs none of it: the same lock gives the same image.
  sign) set -- "$@" --no-test --keyless ;;
  all) set -- "$@" --keyless ;;
  *) echo "mode is check, sign or all, not $MODE" >&2; exit 2 ;;
esac
if [ "${MODE:-all}" != check ] && [ -n "${SIGNING_CONFIG:-}" ]; then set -- "$@" --signing-config "$SIGNING_CONFIG"; fi
exec mcp-build publish "$@"
