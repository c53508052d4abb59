"""All token paths of a small language model, and what tuning makes of them, by sums over the list.
Nothing of fastebm is used but the rows of the model."""

import math
import zlib

import numpy as np


def random_model_parts(rng, n_vocab=4, order=1, n_end=1, zeros=0.2, concentration=0.7):
    """(tokens, table, end) of a table model with some impossible tokens."""
    table = rng.dirichlet(np.full(n_vocab, concentration), (n_vocab,) * order)
    table = np.where(rng.random(table.shape) < zeros, 0.0, table)
    table[..., 0] += 1e-3
    table /= table.sum(axis=-1, keepdims=True)
    end = list(range(n_vocab - n_end, n_vocab))
    tokens = [*"abcdefgh"[: n_vocab - n_end], *["<end>"] * n_end]
    return tokens, table, end


class HashVerifier:
    """Decides by a hash of the text: with probability `decided` before the end, always at it."""

    def __init__(self, seed, decided=0.2, correct=0.5, scores=None, undecided=0.0):
        self.seed, self.decided, self.correct = seed, decided, correct
        self.scores, self.undecided = scores, undecided

    def draws(self, text):
        digest = zlib.crc32(f"{self.seed} {text}".encode())
        return np.random.default_rng(digest).random(3)

    def __call__(self, text, ended):
        first, second, third = self.draws(text)
        if (ended and third < self.undecided) or (not ended and first >= self.decided):
            return None
        if self.scores is not None:
            return self.scores[int(second * len(self.scores))]
        return bool(second < self.correct)


class Path:
    def __init__(self, tokens, laws, score):
        self.tokens, self.laws, self.score = tokens, laws, score
        self.q = math.prod(laws)


def enumerate_paths(model, prompt, verify, max_length, score_range=(0.0, 1.0)):
    """Every path up to its decision, to its end, or to max_length. The score is None where there is
    none."""
    found = []

    def go(tokens, laws):
        row = np.exp(model.next_log_probs([[*prompt, *tokens]])[0].astype(np.float64))
        row /= math.fsum(row)
        for token in np.flatnonzero(row).tolist():
            path, ended = [*tokens, token], token in model.end
            score = verify(model.decode(path), ended)
            if isinstance(score, bool):
                score = score_range[1] if score else score_range[0]
            probabilities = [*laws, float(row[token])]
            if score is not None or ended or len(path) == max_length:
                found.append(Path(path, probabilities, score))
            else:
                go(path, probabilities)

    go([], [])
    return found


class Tuned:
    """The optimum over complete paths, each with a score."""

    def __init__(self, paths, scores, beta, high):
        self.paths, self.scores = paths, np.asarray(scores, float)
        self.q = np.array([path.q for path in paths])
        s = 0.0 if beta == math.inf else 1.0 / beta
        log_z = s * (self.scores - high)
        weight = self.q * np.exp(log_z)
        self.log_norm = math.log(math.fsum(weight))
        self.p = weight / math.fsum(weight)
        self.success = math.fsum(self.p[self.scores == high])
        self.mean_score = math.fsum(self.p * self.scores)
        positive = self.p > 0
        ratio = log_z - self.log_norm
        self.kl = math.fsum(self.p * ratio)
        self.entropy = -math.fsum(self.p[positive] * np.log(self.p[positive]))
        self.value = self.mean_score - (beta * self.kl if s else 0.0)

    def masses_by_prefix(self, length):
        """{first tokens: (mass of the model, mass of the policy)}; shorter answers are whole."""
        found = {}
        for path, q, p in zip(self.paths, self.q, self.p, strict=True):
            key = tuple(path.tokens[:length])
            old = found.get(key, (0.0, 0.0))
            found[key] = old[0] + q, old[1] + p
        return found

    def kl_of_first(self, length):
        pairs = self.masses_by_prefix(length).values()
        return math.fsum(p * math.log(p / q) for q, p in pairs if p > 0)

    def next_law(self, prefix):
        """{token: (probability of the model, of the policy)} after a prefix."""
        n, found = len(prefix), {}
        for path, q, p in zip(self.paths, self.q, self.p, strict=True):
            if tuple(path.tokens[:n]) == tuple(prefix) and len(path.tokens) > n:
                old = found.get(path.tokens[n], (0.0, 0.0))
                found[path.tokens[n]] = old[0] + q, old[1] + p
        totals = [math.fsum(pair[i] for pair in found.values()) for i in (0, 1)]
        return {token: (q / totals[0], p / totals[1]) for token, (q, p) in found.items()}
