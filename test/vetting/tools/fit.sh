#!/bin/sh
# Fits vetting/tools/model.bin anew (--model vetting/tools/model.bin), or says how often a model errs on what it has not seen (--folds 5). Attacks that
# can't be kept here are measured too, and not learnt from: --elsewhere FILE, before the others ([{"source", "description", "inputSchema"?}]).
# Needs uv, for Python's JAX; some 40 minutes on two cores.
set -eu
elsewhere=
if [ "${1:-}" = --elsewhere ]; then
  elsewhere=$(realpath "$2")
  shift 2
fi
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node test/vetting/tools/readings.ts "$work" ${elsewhere:+"$elsewhere"}
uv run --no-project --quiet --with jax==0.10.2 --with optax==0.2.8 --with numpy==2.4.6 test/vetting/tools/fit.py \
  --readings "$work/readings.json" --encoded "$work/encoded.bin" "$@"
