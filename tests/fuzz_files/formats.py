"""The formats, each with the files that are mutated, the mutation and the judge."""

import os
import shutil
from functools import partial

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from . import judge_logs, judges, seeds, seeds_logs
from .mutations import (
    ODD,
    TOKENS,
    mutated_array,
    mutated_bytes,
    mutated_events,
    mutated_gz,
    mutated_json,
    mutated_npy,
    mutated_npz,
    mutated_text,
    pick,
)

MUTATORS = {
    ".npz": mutated_npz,
    ".npy": mutated_npy,
    ".json": mutated_json,
    ".parquet": mutated_bytes,
    ".tfevents": mutated_events,
}
COMMANDS = """
info C --normalize
gap C --kind absolute --tol 1e-3 --seed 3 --threads 1 --max-matvecs 50
hit C --target 0 --start 1 2 --method both --walkers 100 --max-steps 50 --rel-ci 0.5 --seed 1
hit C --level 0.5 --score V --bound --max-iter 20
mix C --start 0 --steps 20 --lazy 0.5
balance C --tol 1e-9
balance --counts J --bootstrap 3 --seed 1
balance --counts T --trajectory trajectory --order time --value state --bins 2 --skip 0
tilt C --reward V --beta 0.5 --output out
convert C out.npz --class 0
convert C out.mtx --format edges
reach C --target done --avoid init --within 5 --state-labels L --start 1 2 --tol 1e-9
reach C --target 3 --reward V --long-run --max-iter 30
pagerank C --damping 0.9 --personalization V --tol 1e-9 --max-iter 200
analyze C --steps 5 --walkers 10 --spectrum 2 --betas 1 2 --seed 1 --summary
""".strip().split("\n")
# Not those that ask for hours of work that would be right.
NUMBERS_OF_WORK = ("--walkers", "--max-steps", "--bootstrap", "--steps", "--max-matvecs")
LONG = ("2000000000", "2147483647", "2147483648", "4294967296", "100000", "1099511627776")


class Formats:
    """Every format, with its files in the folder `place`, which is emptied before each case."""

    def __init__(self, place):
        self.place = place
        self.kept = place / "seeds"
        self.kept.mkdir()
        self.chain = fe.MarkovChain(seeds.P)
        sp.save_npz(self.kept / "C.npz", sp.csr_array(seeds.P))
        self.contents = {f"matrix {suffix}": (suffix, files, judges.matrix)
                         for suffix, files in seeds.matrices().items()}  # fmt: skip
        vector = partial(judges.vector, chain=self.chain, chain_path=self.kept / "C.npz")
        for suffix, files in seeds.vectors().items():
            self.contents[f"vector {suffix}"] = suffix, files, vector
        of_states = {".lab": judges.state_labels, ".srew": judges.state_rewards}
        for suffix, files in seeds.states().items():
            judge = partial(of_states[suffix], chain_path=self.kept / "C.npz")
            self.contents[f"states {suffix}"] = suffix, files, judge
        for suffix, files in seeds.counts().items():
            self.contents[f"counts {suffix}"] = suffix, files, judges.models
        for suffix, files in seeds.trajectories().items():
            self.contents[f"table {suffix}"] = suffix, files, judges.table
        for name, (suffix, files, form) in seeds_logs.logs(place).items():
            judge = judge_logs.answers if name.startswith("answers") else judge_logs.log
            self.contents[name] = suffix, files, partial(judge, form=form)
        self.folders = seeds.folders(self.kept)
        self.chains = {name: fe.load(path) for name, path in self.folders.items()}
        self.checkpoint = seeds.checkpoint(self.kept)
        for name, (_, files, _) in self.contents.items():
            if name in ("vector .txt", "counts .json", "table .csv", "states .lab"):
                (self.kept / name.replace(" ", "")).write_bytes(files[0])
        self.cases = {name: partial(self.file, name) for name in self.contents}
        self.cases |= {
            "saved chain": self.folder,
            "checkpoint": self.of_checkpoint,
            "SciPy matrix": self.matrix,
            "arguments": self.arguments,
        }

    def run(self, name, rng, mutate=True):
        """The verdict of one case; `mutate=False`: of the file as it was written."""
        work = self.place / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        before = os.getcwd()
        os.chdir(work)
        try:
            return self.cases[name](rng, work, mutate)
        finally:
            os.chdir(before)

    def file(self, name, rng, work, mutate):
        suffix, files, judge = self.contents[name]
        content = pick(rng, files)
        if mutate:
            mutator = mutated_gz if suffix.endswith(".gz") else MUTATORS.get(suffix, mutated_text)
            content = mutator(rng, content, pick(rng, files))
        path = work / f"x{suffix}"
        path.write_bytes(content)
        return judge(path, rng)

    def folder(self, rng, work, mutate):
        name = pick(rng, [*self.folders])
        path = work / name
        shutil.copytree(self.folders[name], path, symlinks=True)
        if mutate:
            files = sorted(x for x in path.rglob("*") if x.is_file() and not x.is_symlink())
            file = pick(rng, files)
            if rng.random() < 0.05:
                file.unlink()
            else:
                mutator = MUTATORS.get(file.suffix, mutated_text)
                file.write_bytes(mutator(rng, file.read_bytes(), pick(rng, files).read_bytes()))
        return judges.folder(path, rng, self.chains[name])

    def of_checkpoint(self, rng, work, mutate):
        seed, arrays, made = self.checkpoint
        path = work / seed.name
        content = seed.read_bytes()
        path.write_bytes(mutated_npz(rng, content, content) if mutate else content)
        return judges.checkpoint(path, rng, arrays, made)

    def matrix(self, rng, work, mutate):
        form = pick(rng, ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"])
        matrix = getattr(sp, f"{form}_{pick(rng, ['array', 'matrix'])}")(seeds.P)
        names = {"coo": ["row", "col", "data"], "dia": ["offsets", "data"]}
        names |= {"lil": ["rows", "data"], "dok": []}
        names = names.get(form, ["indptr", "indices", "data"])
        if mutate and names:
            name = pick(rng, names)
            array = getattr(matrix, name)
            if form == "lil":
                row = array[int(rng.integers(len(array)))]
                row.insert(0, pick(rng, [-1, 0, 1, 9, 2**40, 2.5, None, "x"]))
            else:
                array = mutated_array(rng, array)
                if name in ("row", "col"):
                    pair = matrix.coords
                    matrix.coords = (array, pair[1]) if name == "row" else (pair[0], array)
                else:
                    setattr(matrix, name, array)
        elif mutate:
            key = pick(rng, [(0, 9), (-1, 0), (2**70, 0), ("a", 0), (1,), 5, (0, 1)])
            getattr(matrix, "_dict", matrix)[key] = pick(rng, [1.0, -1.0, "x", None, 2**2000])
        arrays = {name: getattr(matrix, name) for name in names} | {"shape": matrix.shape}
        if form == "dok":
            arrays["data"] = dict(getattr(matrix, "_dict", matrix))
        return judges.in_memory(matrix, arrays, rng)

    def arguments(self, rng, work, mutate):
        files = {"C": "C.npz", "V": "vector.txt", "J": "counts.json", "T": "table.csv"}
        files["L"] = "states.lab"
        words = pick(rng, COMMANDS).split()
        words = [str(self.kept / files[word]) if word in files else word for word in words]
        for _ in range(int(rng.integers(1, 3)) if mutate else 0):
            at = int(rng.integers(1, len(words)))
            token = str(pick(rng, TOKENS) if rng.random() < 0.8 else pick(rng, ODD))
            kind = rng.random()
            if kind < 0.7:
                words[at] = token
            elif kind < 0.8:
                del words[at]
            elif kind < 0.9:
                words.insert(at, token)
            else:
                words.insert(at, words[int(rng.integers(1, len(words)))])
        for at, word in enumerate(words[1:]):
            if word in NUMBERS_OF_WORK and words[at + 2 : at + 3] and words[at + 2] in LONG:
                words[at + 2] = "99999999999999999999"
        return judges.command([word for word in words if "\0" not in word])


def random_generator(seed, index):
    return np.random.default_rng([seed, index])
