#!/bin/sh
# Installs the mcp-build that lies around this action, at the commit by which the action was named: nothing else is trusted than that one
# hash, which also fixes every dependency by the lock beside it.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd)
bin=${RUNNER_TEMP:?}/mcp-build-bin
mkdir -p "$bin"

# Of the development dependencies only the Node that runs it, which the runner's own may be too old for.
if [ ! -x "$root/node_modules/.bin/node" ]; then
  npm ci --prefix "$root" --omit=dev --include=optional --ignore-scripts --no-audit --no-fund --no-progress >&2
fi
node=$root/node_modules/.bin/node
[ -x "$node" ] || node=$(command -v node)

cat >"$bin/mcp-build" <<SCRIPT
#!/bin/sh
exec '$node' '$root/cli/main.ts' "\$@"
SCRIPT
chmod 0755 "$bin/mcp-build"
echo "$bin" >>"${GITHUB_PATH:?}"
version=$("$bin/mcp-build" --version)
echo "version=$version" >>"${GITHUB_OUTPUT:?}"
echo "mcp-build $version" >&2
