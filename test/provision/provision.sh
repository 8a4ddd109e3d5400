#!/bin/sh
# Installs what a fresh machine lacks. `provision.sh start` for the demo, `provision.sh test` for everything the tests use.
#
# Runs under any POSIX shell with whatever Node the machine has: the Node that runs this checkout is one of the things it
# installs. Finds out in well under a second that nothing is to do. What can't be installed is said with its reason and written
# to $cache/missing, from which the tests that need it take the reason they are skipped for; with CI=true it is an error.
set -eu

what=${1:-}
case $what in
  start | test) ;;
  *) echo "usage: provision.sh start|test" >&2; exit 2 ;;
esac

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cd "$root"
cache=${MCP_BUILD_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-build-test}
bin=$cache/bin
mkdir -p "$bin"
PATH=$root/node_modules/.bin:$bin:$PATH:/usr/sbin:/sbin
export PATH

. "$root/test/provision/versions.sh"

say() { echo "provision: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
bounded() { if have timeout; then timeout "$@"; else shift; "$@"; fi; }

lack() { # part, reason
  say "$1 is missing: $2"
  printf '%s\t%s\n' "$1" "$2" >>"$missing"
}

# Tries a command twice, its output kept for the case that it fails.
attempt() { # seconds, command…
  for try in 1 2; do
    if bounded "$@" >"$log" 2>&1; then return 0; fi
    [ $try = 1 ] && sleep 2
  done
  tail -n 15 "$log" >&2
  return 1
}

# One at a time: two npm or apt runs at once would spoil each other's work.
lock=$cache/lock
waited=0
until mkdir "$lock" 2>/dev/null; do
  holder=$(cat "$lock/pid" 2>/dev/null || true)
  if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then rm -rf "$lock"; continue; fi
  [ $waited = 0 ] && say "waiting for another provision.sh to end"
  waited=$((waited + 1))
  # A lock without a pid is one whose maker died in between.
  [ -z "$holder" ] && [ $waited -gt 10 ] && rm -rf "$lock"
  [ $waited -gt 1800 ] && { say "gave up waiting for process $holder, which holds $lock"; exit 1; }
  sleep 1
done
echo $$ >"$lock/pid"
log=$lock/log
missing=$lock/missing
: >"$missing"
trap 'rm -rf "$lock"' EXIT
trap 'exit 130' INT TERM

# ---- Node modules, which bring the Node that runs everything else

node_is_new_enough() { # the same bound as `engines` in package.json
  node -e 'const [a, b, c] = process.versions.node.split(".").map(Number);
    process.exit(a > 22 || (a === 22 && (b > 22 || (b === 22 && c >= 2))) ? 0 : 1)' 2>/dev/null
}

modules() {
  stamp=node_modules/.mcp-build-provisioned
  key="$(uname -sm) $(cat package.json package-lock.json test/provision/package.json | cksum)"
  if [ "$(cat $stamp 2>/dev/null || true)" != "$key" ]; then
    have npm || { say "npm is needed; install Node.js with npm first"; exit 1; }
    say "installing Node modules"
    # Not `npm ci`: where a registry lacks the builds of some package for other systems, the lock has no entry for them and `npm ci`
    # refuses it. Integrity is checked all the same.
    attempt 900 npm install --no-save --ignore-scripts --no-audit --no-fund --no-progress || { say "npm install failed"; exit 1; }
    printf '%s\n' "$key" >$stamp
  fi
  node_is_new_enough || {
    say "Node $(node --version 2>/dev/null || echo '(none)') is too old, and there is no packaged one for $(uname -sm): install Node 24"
    exit 1
  }
}

# ---- The system's packages

docker_reachable() {
  have docker && bounded 5 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

apt_packages() {
  wanted=""
  if have dockerd; then
    for package in containerd runc iptables; do have $package || wanted="$wanted $package"; done
  elif ! docker_reachable; then
    wanted=" docker.io containerd runc iptables"
  fi
  have python3 || wanted="$wanted python3"
  if [ "$what" = test ]; then
    for package in docker-compose docker-registry skopeo umoci age zstd chromium; do have $package || wanted="$wanted $package"; done
    # Units are read and sockets handed over by systemd's own programs, whether it runs or not.
    have systemd-socket-activate || wanted="$wanted systemd"
    # Podman's reaper of orphans is a package of its own.
    have podman && have catatonit || wanted="$wanted podman catatonit"
    # A desktop's session with a keyring.
    for command in dbus-run-session gnome-keyring-daemon secret-tool; do have $command || wanted="$wanted dbus dbus-daemon gnome-keyring libsecret-tools"; done
    # With it come the headers of the C library, without which nothing compiles.
    have cc || wanted="$wanted gcc libc6-dev"
    # What test images are made of: the one without libraries.
    [ -x /bin/busybox ] || wanted="$wanted busybox-static"
    python3 -m pip --version >/dev/null 2>&1 || wanted="$wanted python3-pip"
  fi
  [ -n "$wanted" ] || return 0
  reason=""
  if ! have apt-get; then reason="this is no Debian or Ubuntu: install$wanted yourself"
  elif [ "$(id -u)" != 0 ]; then reason="not root: run \`apt-get install$wanted\` yourself"
  else
    say "installing$wanted"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt="apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300"
    # shellcheck disable=SC2086 # words on purpose
    attempt 600 $apt update || say "apt-get update failed; trying with the lists that are there"
    # shellcheck disable=SC2086 # words on purpose
    attempt 1200 $apt install -y --no-install-recommends $wanted || {
      # One that this release doesn't have must not keep the others away.
      # shellcheck disable=SC2086
      for package in $wanted; do attempt 600 $apt install -y --no-install-recommends "$package" || true; done
    }
    reason="apt-get could not install it"
  fi
  if ! have dockerd && ! docker_reachable; then lack docker "$reason"; fi
  have python3 || lack python3 "$reason"
  if [ "$what" = test ]; then
    for package in docker-compose docker-registry skopeo umoci age zstd chromium podman catatonit systemd-socket-activate; do have $package || lack $package "$reason"; done
    [ -x /bin/busybox ] || lack busybox "$reason"
    for command in dbus-run-session gnome-keyring-daemon secret-tool; do have $command || lack $command "$reason"; done
    have cc || lack cc "$reason"
  fi
}

# ---- Tools of the tests, kept outside the checkout

go_tool() { # command, module path of its main package, version
  [ -x "$bin/$1" ] && [ "$(cat "$bin/.$1.version" 2>/dev/null || true)" = "$3" ] && return 0
  # The version is in the binary, so one that is there already is taken as it is.
  if have go && have "$1" && go version -m "$(command -v "$1")" 2>/dev/null | grep -q "^	mod	.*	$3	"; then return 0; fi
  have go || { lack "$1" "go is not installed, which builds it"; return 0; }
  say "building $1 $3"
  if GOBIN=$bin GOFLAGS=-trimpath GOTOOLCHAIN=auto attempt 1200 go install "$2@$3"; then printf '%s\n' "$3" >"$bin/.$1.version"
  else lack "$1" "\`go install $2@$3\` failed"; fi
}

# A program of this checkout, which its tests call by its folder's name.
go_fixture() { # folder below test/fixtures
  key=$(cat "test/fixtures/$1"/* | cksum)
  [ -x "$bin/$1" ] && [ "$(cat "$bin/.$1.version" 2>/dev/null || true)" = "$key" ] && return 0
  have go || { lack "$1" "go is not installed, which builds it"; return 0; }
  say "building $1"
  if (cd "test/fixtures/$1" && GOFLAGS="-trimpath -mod=readonly -buildvcs=false" GOTOOLCHAIN=auto attempt 1200 go build -o "$bin/$1" .); then
    printf '%s\n' "$key" >"$bin/.$1.version"
  else lack "$1" "\`go build\` in test/fixtures/$1 failed"; fi
}

python_with() { # command, project, version: a Python that has this project
  command=$1 project=$2 version=$3
  [ -x "$cache/$project-$version/python" ] || {
    python3 -m pip --version >/dev/null 2>&1 || { lack "$command" "pip is not installed, which brings $project"; return 0; }
    say "installing $project $version"
    attempt 300 python3 -m pip install -q --no-cache-dir --disable-pip-version-check --only-binary :all: --target "$cache/$project-$version" \
      "$project==$version" || { lack "$command" "pip could not install $project $version"; return 0; }
    printf '#!/bin/sh\nPYTHONPATH="%s" exec python3 "$@"\n' "$cache/$project-$version" >"$cache/$project-$version/python"
    chmod +x "$cache/$project-$version/python"
  }
  ln -sfn "$cache/$project-$version/python" "$bin/$command"
}

# The folders are named by what is in them, so that another list gets another.
http_clients() { # command, what is to be installed as its package manager names it: an interpreter that finds it
  command=$1 list=$2
  folder=$cache/$command-$(printf '%s' "$list" | cksum | cut -d ' ' -f 1)
  [ -x "$folder/run" ] || {
    say "installing $list"
    mkdir -p "$folder"
    case $command in
      node-*)
        printf '{"private":true}\n' >"$folder/package.json"
        # shellcheck disable=SC2086
        attempt 600 npm install --prefix "$folder" --ignore-scripts --no-save --no-audit --no-fund --no-progress $list ||
          { lack "$command" "npm could not install them"; return 0; }
        printf '#!/bin/sh\nNODE_PATH="%s/node_modules" exec node "$@"\n' "$folder" >"$folder/run"
        ;;
      *)
        # shellcheck disable=SC2086
        attempt 300 python3 -m pip install -q --no-cache-dir --disable-pip-version-check --only-binary :all: --target "$folder" $list ||
          { lack "$command" "pip could not install them"; return 0; }
        printf '#!/bin/sh\nPYTHONPATH="%s" exec python3 "$@"\n' "$folder" >"$folder/run"
        ;;
    esac
    chmod +x "$folder/run"
  }
  ln -sfn "$folder/run" "$bin/$command"
}

pip_tool() { # project, version, commands it brings…
  project=$1 version=$2
  shift 2
  for command in "$@"; do
    [ -x "$cache/$project-$version/bin/$command" ] || {
      python3 -m pip --version >/dev/null 2>&1 || { lack "$command" "pip is not installed, which brings $project"; return 0; }
      say "installing $project $version"
      attempt 300 python3 -m pip install -q --no-cache-dir --disable-pip-version-check --only-binary :all: --target "$cache/$project-$version" \
        "$project==$version" || { lack "$command" "pip could not install $project $version"; return 0; }
    }
    ln -sfn "$cache/$project-$version/bin/$command" "$bin/$command"
  done
}

npm_tool() { # command, command within the package, package, version, a dependency that is put right as JSON
  folder=$cache/$1-$4
  [ -e "$folder/node_modules/.bin/$2" ] || {
    say "installing $3 $4"
    mkdir -p "$folder"
    printf '{"private":true,"overrides":{%s}}\n' "${5:-}" >"$folder/package.json"
    attempt 600 npm install --prefix "$folder" --ignore-scripts --no-save --no-audit --no-fund --no-progress "$3@$4" ||
      { lack "$1" "npm could not install it"; return 0; }
  }
  ln -sfn "$folder/node_modules/.bin/$2" "$bin/$1"
}

modules
apt_packages
if [ "$what" = test ]; then
  npm_tool mcp-inspector mcp-inspector @modelcontextprotocol/inspector "$inspector_version"
  npm_tool mcp-conformance conformance @modelcontextprotocol/conformance "$conformance_version"
  npm_tool supergateway supergateway supergateway "$supergateway_version"
  # One of its dependencies asks for another by a dist-tag, which not every mirror has.
  npm_tool verdaccio verdaccio verdaccio "$verdaccio_version" '"node-fetch":"2.7.0"'
  pip_tool uv "$uv_version" uv uvx
  python_with python-mcp-1 mcp "$python_sdk_1_version"
  python_with python-mcp-2 mcp "$python_sdk_2_version"
  http_clients node-http-clients "$node_http_clients"
  http_clients python-http-clients "$python_http_clients"
  pip_tool zizmor "$zizmor_version" zizmor
  go_tool crane github.com/google/go-containerregistry/cmd/crane "$go_containerregistry_version"
  go_tool registry github.com/google/go-containerregistry/cmd/registry "$go_containerregistry_version"
  go_tool cosign github.com/sigstore/cosign/v3/cmd/cosign "$cosign_version"
  go_tool fulcio github.com/sigstore/fulcio "$fulcio_version"
  go_tool timestamp-server github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server "$timestamp_authority_version"
  go_tool actionlint github.com/rhysd/actionlint/cmd/actionlint "$actionlint_version"
  # Rekor v2 with its log in a folder.
  go_tool posix github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix "$rekor_tiles_version"
  # The validation of kube-apiserver and of Pod Security admission.
  go_fixture kubernetes-check
  # Last, as it takes longest.
  go_tool syft github.com/anchore/syft/cmd/syft "$syft_version"
fi

mv "$missing" "$cache/missing"
if [ -s "$cache/missing" ] && [ "$what" = test ]; then
  if [ "${CI:-}" = true ]; then say "CI=true, and these parts are required"; exit 1; fi
  say "tests that need them are skipped"
fi
