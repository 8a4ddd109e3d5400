"""Makes vetting/tools/encoder/encoder.bin of a sentence encoder's ONNX file: its first layers, its vocabulary, in whole numbers.

Run by fit.sh --encoder, which says where the file comes from. Of all-MiniLM-L6-v2 the first four layers are taken: what they know of a word in its
place told more about poisoned tools than what the last one does, and costs two thirds.
"""

import argparse
import json
import re

import numpy as np
import onnx
from onnx import numpy_helper

LAYERS = 4
NAMES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
HEADS = 12
POSITIONS = 160
# Pieces of words that need another script are left out: the concepts and techniques, which are all that reads other languages, don't need them.
KEPT = re.compile(r"(?!\[(?:unused|PAD|MASK))(?:##)?[\x21-\x7e]+")


class Source:
    """An ONNX file's numbers by name, whole ones turned back."""

    def __init__(self, path):
        model = onnx.load(path)
        self.values = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        # Their names say nothing, but number them: six in a layer, in the order of NAMES.
        found = {re.fullmatch(r"(onnx::MatMul_(\d+))(?:_quantized)?", name): name for name in self.values}
        self.matrices = [match[1] for match in sorted(filter(None, found), key=lambda match: int(match[2]))]

    def __call__(self, name):
        full = f"base.{name}" if any(each.startswith(f"base.{name}") for each in self.values) else name
        return self.turned_back(full) if f"{full}_quantized" in self.values else self.values[full].astype(np.float32)

    def turned_back(self, name):
        whole, zero, scale = (self.values[f"{name}_{part}"] for part in ("quantized", "zero_point", "scale"))
        return (whole.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)


def whole(rows, most):
    """Each row with a scale of its own."""
    scales = np.maximum(np.abs(rows).max(1) / most, 1e-12).astype(np.float32)
    return scales, np.clip(np.rint(rows / scales[:, None]), -most, most).astype(np.int8)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--onnx", required=True)
    options.add_argument("--tokenizer", required=True)
    options.add_argument("--out", required=True)
    chosen = options.parse_args()
    source = Source(chosen.onnx)
    with open(chosen.tokenizer) as file:
        vocabulary = json.load(file)["model"]["vocab"]
    kept = sorted((at, piece) for piece, at in vocabulary.items() if KEPT.fullmatch(piece))
    width = source("embeddings.LayerNorm.weight").shape[0]
    parts = []

    def floats(values):
        parts.append(np.ascontiguousarray(values, np.float32))

    floats(source("embeddings.LayerNorm.weight"))
    floats(source("embeddings.LayerNorm.bias"))
    # All tokens are of the first sentence.
    kind = source("embeddings.token_type_embeddings.weight")[0]
    floats(source("embeddings.position_embeddings.weight")[:POSITIONS] + kind)
    # Four bits a number, in groups of 32 with a scale each.
    words = source("embeddings.word_embeddings.weight")[[at for at, _ in kept]].reshape(-1, 32)
    scales, groups = whole(words, 7)
    floats(scales)
    pairs = (groups.reshape(-1, 2) + 8).astype(np.uint8)
    parts.append(pairs[:, 0] | pairs[:, 1] << 4)
    inner = 0
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for index, name in enumerate(NAMES):
            bias = source(f"{at}.{name}.bias")
            weights = source(source.matrices[layer * len(NAMES) + index]).T
            inner = max(inner, weights.shape[0])
            if name.endswith("query"):
                # What attention divides by is within the query.
                by = np.sqrt(width / HEADS)
                bias, weights = bias / by, weights / by
            scales, numbers = whole(weights, 127)
            floats(scales)
            floats(bias)
            parts.append(numbers)
            if name.endswith("output.dense"):
                norm = name.removesuffix("dense") + "LayerNorm"
                floats(source(f"{at}.{norm}.weight"))
                floats(source(f"{at}.{norm}.bias"))
    header = {
        "width": width,
        "inner": inner,
        "heads": HEADS,
        "layers": LAYERS,
        "positions": POSITIONS,
        "pieces": " ".join(piece for _, piece in kept),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with open(chosen.out, "wb") as file:
        file.write(len(text).to_bytes(4, "little"))
        file.write(text)
        for part in parts:
            file.write(part.tobytes())


main()
