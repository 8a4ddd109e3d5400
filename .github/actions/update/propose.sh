#!/bin/sh
# Puts what `update.sh` has changed on a branch of its own and opens a pull request, or brings the one that is open up to date.
set -eu
body=${RUNNER_TEMP:?}/mcp-build-update.md
base=$(git symbolic-ref --short HEAD)

git switch --quiet --force-create "$BRANCH"
git add -- mcp-build.yaml lockfiles
git -c user.name=mcp-build -c user.email=mcp-build@users.noreply.github.com -c core.hooksPath=/dev/null commit --quiet --message 'Update MCP servers'
# The helper hands the token to git for this one push; it is written nowhere.
# shellcheck disable=SC2016 # expanded by git's shell
git -c credential.helper= -c credential.helper='!f() { echo username=x-access-token; echo "password=$GH_TOKEN"; }; f' \
  push --quiet --force origin "HEAD:refs/heads/$BRANCH"

if [ "$(gh pr list --head "$BRANCH" --state open --json number --jq length)" = 0 ]; then
  gh pr create --base "$base" --head "$BRANCH" --title 'Update MCP servers' --body-file "$body"
else
  gh pr edit "$BRANCH" --body-file "$body"
fi
