#!/bin/sh
# Makes vetting/tools/encoder/encoder.bin anew, always the same. Needs uv, and its index for a package that ships the encoder as an ONNX file. What was
# fitted on another encoder must be fitted again: fit.sh.
set -eu
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'stackone-defender==0.9.4 --hash=sha256:97c206d989fd7e938bb8fd3cae80bcbf3350ef2a4ee5e4f1402f488489bc1cbb' >"$work/requirements.txt"
uv pip install --quiet --no-deps --only-binary :all: --require-hashes --target "$work/package" --requirement "$work/requirements.txt"
model=$work/package/stackone_defender/models/minilm-multihead-v5
uv run --no-project --quiet --with onnx==1.23.2 --with numpy==2.4.6 test/vetting/tools/encoder.py \
  --onnx "$model/model_quantized.onnx" --tokenizer "$model/tokenizer.json" --out vetting/tools/encoder/encoder.bin
