"""Fits vetting/tools/model.bin on what readings.ts wrote, or cross-validates it.

Small convolutional networks over the words of a text, as the encoder reads them: 13 words to either side decide how much a place reads like an
order to the model, and the worst places decide on the text (log-sum-exp), so that no honest words elsewhere outweigh it. Run by fit.sh, which
says what it needs.
"""

import argparse
import hashlib
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

WIDTH = 384  # numbers of a word that the encoder makes
ONE = 2048  # what is one in readings.ts's whole numbers
KEPT = 128  # directions that are kept of them: those in which words differ most
HIDDEN = 64
SIGN = 1.5
MARKS = ["<url>", "<mail>", "<path>", "<line>", "<number>", "<name>", "<sign>"] + list("`\"'<>[](){}.,:;!?*-=/|#$%@&~")
LONGEST = 600
LENGTHS = (32, 64, 96, 128, 192, 256, 384, 640)
DILATIONS = (1, 2, 4)
WIDTHS = (3, 5, 5)
EPOCHS = 12
BATCH = 32
DROPOUT = 0.3
WORD_DROPOUT = 0.1
SMOOTHING = 0.02
RATE = 3e-3
DECAY = 0.05
NETS = 4
HONEST = 0.2  # what a sample weighs that was written to look like an attack: real ones don't go so far
WRONG_ALARMS = 0.02


def fold_of(name, folds):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % folds


class Words:
    """From a word with its signs to its numbers: what is kept of the encoder's, a place for each mark, a place for each sign."""

    def __init__(self, encoded, samples):
        apart = encoded[::9].astype(np.float32) / ONE
        mean = apart.mean(0)
        _, _, axes = np.linalg.svd(apart - mean, full_matrices=False)
        turned = axes[:KEPT].T
        turned /= ((apart - mean) @ turned).std()
        # As it will be stored, so that what is fitted is what is shipped.
        self.projection, self.scales = quantized(turned, axis=0)
        turned = self.projection * self.scales
        self.centre = -mean @ turned
        self.kept = np.empty((len(encoded), KEPT), np.float16)
        for begin in range(0, len(encoded), 65536):
            part = slice(begin, begin + 65536)
            self.kept[part] = encoded[part].astype(np.float32) / ONE @ turned + self.centre
        self.signs = sorted({sign for sample in samples for word in sample["words"] for sign in word[1:]})
        self.sign = {sign: at for at, sign in enumerate(self.signs)}
        self.mark = {mark: at for at, mark in enumerate(MARKS)}
        self.size = KEPT + len(MARKS) + len(self.signs)
        self.known = {}
        self.rows = []
        begin = 0
        for sample in samples:
            end = begin + len(sample["words"])
            # Of each word, where what is kept of it stands, and which row its marks and signs have.
            sample["x"] = np.stack([np.arange(begin, end), [self.number(word) for word in sample["words"]]], 1)
            begin = end
        if begin != len(encoded):
            raise ValueError(f"{begin} words, of which {len(encoded)} are encoded")
        self.table = np.stack(self.rows)

    def number(self, word):
        key = (word[0] if word[0] in self.mark else "", *word[1:])
        if key not in self.known:
            row = np.zeros(self.size - KEPT, np.float32)
            if key[0]:
                row[self.mark[key[0]]] = 1
            for sign in word[1:]:
                row[len(MARKS) + self.sign[sign]] = SIGN
            self.known[key] = len(self.rows)
            self.rows.append(row)
        return self.known[key]

    def batch(self, sequences, length):
        """Their numbers, and which places are taken."""
        x = np.zeros((len(sequences), length, self.size), np.float32)
        taken = np.zeros((len(sequences), length, 1), np.float32)
        for at, sequence in enumerate(sequences):
            sequence = sequence[:length]
            x[at, : len(sequence), :KEPT] = self.kept[sequence[:, 0]]
            x[at, : len(sequence), KEPT:] = self.table[sequence[:, 1]]
            taken[at, : len(sequence)] = 1
        return x, taken


def quantized(matrix, axis):
    scales = np.maximum(np.abs(matrix).max(axis) / 127, 1e-9).astype(np.float32)
    return np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8), scales


def initial(key, size):
    keys = jax.random.split(key, 4)
    sizes = (size, HIDDEN, HIDDEN)
    net = {}
    for at, (width, into) in enumerate(zip(WIDTHS, sizes)):
        spread = np.sqrt(1 / (width * into * (0.4 if at == 0 else 1)))
        net[f"w{at}"] = jax.random.normal(keys[at], (width, into, HIDDEN)) * spread
        net[f"b{at}"] = jnp.zeros(HIDDEN)
    net["out"] = jax.random.normal(keys[3], (3 * HIDDEN,)) * np.sqrt(1 / (12 * HIDDEN))
    net["bias"] = jnp.array(-1.0)
    return net


def places(net, x, taken, key=None):
    now = x
    keys = [None] * 4 if key is None else jax.random.split(key, 4)
    if key is not None:
        now = now * jax.random.bernoulli(keys[3], 0.9, now.shape)
    layers = []
    for at, dilation in enumerate(DILATIONS):
        now = jax.lax.conv_general_dilated(
            now, net[f"w{at}"], (1,), "SAME", rhs_dilation=(dilation,), dimension_numbers=("NWC", "WIO", "NWC")
        )
        now = jax.nn.relu(now + net[f"b{at}"]) * taken
        if key is not None:
            now = now * jax.random.bernoulli(keys[at], 1 - DROPOUT, (now.shape[0], 1, HIDDEN)) / (1 - DROPOUT)
        layers.append(now)
    found = jnp.concatenate(layers, -1) @ net["out"]
    return jnp.where(taken[..., 0] > 0, found, -1e4)


def logit(net, x, taken, hidden, key=None):
    return jax.nn.logsumexp(places(net, x, taken, key), axis=1) + hidden + net["bias"]


def length_of(longest):
    return next(length for length in LENGTHS if length >= min(longest, LENGTHS[-1]))


def fitted(samples, words, seed):
    rng = np.random.default_rng(seed)
    net = initial(jax.random.PRNGKey(seed), words.size)
    steps = int(np.ceil(len(samples) / BATCH)) * EPOCHS
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(RATE, steps), weight_decay=DECAY)
    )

    @jax.jit
    def step(net, state, x, taken, hidden, attack, weight, key):
        inner, drop = jax.random.split(key)
        heard = x * jax.random.bernoulli(drop, 1 - WORD_DROPOUT, taken.shape)

        def loss(net):
            each = optax.sigmoid_binary_cross_entropy(
                logit(net, heard, taken, hidden, inner), attack * (1 - 2 * SMOOTHING) + SMOOTHING
            )
            return (weight * each).sum() / weight.sum()

        gradient = jax.grad(loss)(net)
        updates, state = optimizer.update(gradient, state, net)
        return optax.apply_updates(net, updates), state

    state = optimizer.init(net)
    key = jax.random.PRNGKey(seed + 7)
    harmless = [sample for sample in samples if sample["set"] == "benign"]
    for _ in range(EPOCHS):
        items = []
        for sample in samples:
            x = sample["x"]
            # The same attack within other honest text: what stands around it says nothing.
            if sample["attack"] and rng.random() < 0.6:
                other = harmless[rng.integers(len(harmless))]["x"]
                at = rng.integers(max(1, len(other) - 10))
                piece = other[at : at + rng.integers(5, 80)]
                x = np.concatenate([piece, x] if rng.random() < 0.7 else [x, piece])
            items.append((x, sample))
        order = sorted(range(len(items)), key=lambda at: min(LONGEST, len(items[at][0])) + rng.random() * 20)
        batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
        rng.shuffle(batches)
        for chosen in batches:
            padded = chosen + [chosen[0]] * (BATCH - len(chosen))
            weight = np.array([items[at][1]["weight"] for at in chosen] + [0.0] * (BATCH - len(chosen)), np.float32)
            key, used = jax.random.split(key)
            net, state = step(
                net,
                state,
                *words.batch([items[at][0] for at in padded], length_of(max(len(items[at][0]) for at in chosen))),
                np.array([items[at][1]["hidden"] for at in padded], np.float32),
                np.array([items[at][1]["attack"] for at in padded], np.float32),
                weight,
                used,
            )
    return jax.tree.map(np.asarray, net)


def scores(nets, words, samples):
    infer = jax.jit(logit)
    found = np.zeros(len(samples))
    order = np.argsort([len(sample["x"]) for sample in samples])
    for begin in range(0, len(order), 64):
        chosen = order[begin : begin + 64]
        padded = list(chosen) + [chosen[0]] * (64 - len(chosen))
        x, taken = words.batch([samples[at]["x"] for at in padded], length_of(max(len(samples[at]["x"]) for at in chosen)))
        hidden = np.array([samples[at]["hidden"] for at in padded], np.float32)
        each = [np.asarray(infer(net, x, taken, hidden)) for net in nets]
        found[chosen] = np.mean(each, 0)[: len(chosen)]
    return found


def wilson(hits, of):
    z, p = 1.96, hits / of
    middle, spread, scale = p + z * z / (2 * of), z * np.sqrt((p * (1 - p)) / of + (z * z) / (4 * of * of)), 1 + z * z / of
    return (middle - spread) / scale, (middle + spread) / scale


def say(name, hits, of):
    low, high = wilson(hits, of)
    print(f"{name}: {hits / of:.3f} ({low:.3f}-{high:.3f}), {hits} of {of}", flush=True)


def cross_validate(samples, words, folds):
    judged = np.zeros(len(samples))
    at = np.array([fold_of(sample["group"], folds) for sample in samples])
    for fold in range(folds):
        begun = time.time()
        training = [sample for sample, which in zip(samples, at) if which != fold and sample["set"] != "elsewhere"]
        nets = [fitted(training, words, seed) for seed in range(NETS)]
        mine = np.flatnonzero(at == fold)
        judged[mine] = scores(nets, words, [samples[one] for one in mine])
        print(f"fold {fold}: {time.time() - begun:.0f} s", file=sys.stderr, flush=True)
    sets = np.array([sample["set"] for sample in samples])
    harmless = np.sort(judged[sets == "benign"])[::-1]
    bar = harmless[int(WRONG_ALARMS * len(harmless))]
    print(f"bar {bar:.2f}")
    kinds = {name: [name] for name in dict.fromkeys(sets)} | {"published techniques and descriptions": ["attacks", "attacks-published"]}
    for name, of in kinds.items():
        mine = judged[np.isin(sets, of)]
        say(name, int((mine > bar).sum()), len(mine))
    return bar


def write(path, words, nets, bar):
    parts, layout = [words.projection], []
    for net in nets:
        layers = []
        for at in range(len(WIDTHS)):
            weights, scales = quantized(net[f"w{at}"], axis=(0, 1))
            parts.append(weights)
            layers.append({"scales": [float(f"{s:.6g}") for s in scales], "bias": [float(f"{b:.6g}") for b in net[f"b{at}"]]})
        layout.append({"layers": layers, "out": [float(f"{o:.6g}") for o in net["out"]], "bias": float(net["bias"])})
    header = {
        "width": WIDTH,
        "kept": KEPT,
        "hidden": HIDDEN,
        "widths": WIDTHS,
        "dilations": DILATIONS,
        "sign": SIGN,
        "bar": round(float(bar), 2),
        "marks": MARKS,
        "signs": words.signs,
        "centre": [float(f"{c:.6g}") for c in words.centre],
        "scales": [float(f"{s:.6g}") for s in words.scales],
        "nets": layout,
    }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(4, "little"))
        file.write(text)
        for part in parts:
            file.write(np.ascontiguousarray(part).tobytes())


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--readings", required=True)
    options.add_argument("--encoded", required=True)
    options.add_argument("--folds", type=int, default=0)
    options.add_argument("--model")
    options.add_argument("--bar", type=float)
    chosen = options.parse_args()
    with open(chosen.readings) as file:
        samples = json.load(file)
    for sample in samples:
        sample["weight"] = HONEST if sample["set"] == "honest" else 1.0
    words = Words(np.fromfile(chosen.encoded, np.int16).reshape(-1, WIDTH), samples)
    bar = chosen.bar
    if chosen.folds:
        bar = cross_validate([s for s in samples if s["set"] != "attacks-held-out"], words, chosen.folds)
    if chosen.model:
        training = [sample for sample in samples if not sample["exam"] and sample["set"] != "elsewhere"]
        nets = [fitted(training, words, seed) for seed in range(NETS)]
        exam = [sample for sample in samples if sample["exam"]]
        judged = scores(nets, words, exam)
        for attack, name in ((True, "exam, attacks found"), (False, "exam, wrong alarms")):
            mine = np.array([score for score, sample in zip(judged, exam) if sample["attack"] == attack])
            say(name, int((mine > bar).sum()), len(mine))
        write(chosen.model, words, nets, bar)


main()
