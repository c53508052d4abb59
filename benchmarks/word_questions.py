"""What the theory asks of a language model, answered for the word associations of SmolLM2.

    python -m benchmarks.word_questions            # the tables of docs/llm-word-kernel.md
    python -m benchmarks.word_questions power      # how often sampled counts show what is known

The chain is `datasets.load("smollm2-words")`: exact transition probabilities of the model on 400
words (but for what `unresolved` says), not samples.
"""

import argparse
import os

import numpy as np

import fastebm as fe

BETAS = (np.inf, 8.0, 4.0, 2.0, 1.0, 0.5)
LEVEL = 2.5  # valence of a superior word
SMOKE = bool(os.environ.get("FASTEBM_BENCH_SMOKE"))
# Lengths of trajectories, and how many of each: a test of 100,000 steps takes 2 s of CPU.
REPEATS = {300: 2} if SMOKE else {100: 100, 300: 100, 1_000: 100, 10_000: 20, 100_000: 5}


def balance(chain):
    """How far the chain is from detailed balance."""
    found = fe.detailed_balance(chain, hodge=True)
    P, pi = chain.to_scipy().toarray(), found.pi
    flow = pi[:, None] * P
    mean = (flow + flow.T) / 2
    fit = fe.fit_potential(chain)
    relation = np.corrcoef(fit.potential, -np.log(pi))[0, 1]
    positive = flow > 0
    return {
        "flux violation": found.flux_violation,
        "entropy production (nats a step)": found.entropy_production,
        # The additive reversibilisation is the reversible chain R of least KL(P || R) (Wolfer &
        # Watanabe 2021).
        "KL to the nearest reversible chain (nats a step)": float(
            np.sum(flow[positive] * np.log(flow[positive] / mean[positive]))
        ),
        "share of the log ratios that is a gradient": found.gradient_fraction,
        "share that the least-action potential explains": fit.gradient_fraction,
        "its correlation with -log pi": relation,
        "spectral gap of (P + P*) / 2": fe.spectral_gap(chain, kind="additive").gap,
        "1 - SLEM": fe.spectral_gap(chain, kind="absolute").gap,
    }


def tuned(chain, beta):
    """The one-step policy and the one that looks ahead, at one beta."""
    superior = fe.superior_states(chain.reward, LEVEL)
    one_step = fe.tilt(chain, chain.reward, beta)
    found = fe.detailed_balance(one_step)
    row = {
        "beta": beta,
        "mean valence": float(found.pi @ chain.reward),
        "KL a step": float(found.pi @ one_step.reference_kl()),
        "flux violation": found.flux_violation,
        "entropy production": found.entropy_production,
        "1 - SLEM": fe.spectral_gap(one_step, kind="absolute").gap,
        "steps to a superior word": fe.hitting_times(one_step, superior).mean_from_pi,
    }
    if np.isfinite(beta):
        ahead = fe.policy.average(chain, chain.reward, beta)
        row |= {
            "mean valence, looking ahead": ahead.mean_reward,
            "KL a step, looking ahead": ahead.kl_rate,
            "flux violation, looking ahead": fe.detailed_balance(ahead.chain).flux_violation,
            "price of myopia": ahead.price_of_myopia,
        }
    return row


def power(chain, n_steps, repeats, seed=0):
    """The share of trajectories whose counts reject detailed balance at 5 %: on words, and on the
    sign of the valence."""
    rng = np.random.default_rng(seed)
    sign = np.sign(chain.reward).astype(int) + 1
    rejected = {"words": 0, "sign of the valence": 0}
    for _ in range(repeats):
        path = fe.simulate(chain, n_steps, n_walkers=1, rng=rng)[0]
        for name, states in (("words", path), ("sign of the valence", sign[path])):
            counts = fe.count_transitions([states])
            rejected[name] += fe.balance_test(counts, n_bootstrap=99, rng=rng).p_value <= 0.05
    return {name: n / repeats for name, n in rejected.items()}


def lumped(chain):
    """The flux violation that is left between the signs of the valence."""
    pi = fe.stationary(chain).pi
    sign = np.sign(chain.reward)
    flow = pi[:, None] * chain.to_scipy().toarray()
    table = [[flow[np.ix_(sign == a, sign == b)].sum() for b in (-1, 0, 1)] for a in (-1, 0, 1)]
    return float(np.abs(np.array(table) - np.array(table).T).sum() / 2)


def table(rows):
    """Rows as Markdown."""
    names = list(max(rows, key=len))
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        shown = [f"{row[name]:.4g}" if name in row else "" for name in names]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=["power"])
    options = parser.parse_args(arguments)
    chain = fe.datasets.load("smollm2-words")
    if options.what == "power":
        for n_steps, repeats in REPEATS.items():
            print(n_steps, repeats, power(chain, n_steps, repeats), flush=True)
        print("flux violation between the signs:", lumped(chain))
        return
    pi = fe.stationary(chain).pi
    heaviest = np.argsort(-pi)[:12]
    print(f"{chain.n_states} words, {chain.n_passes} passes, mean leak {chain.leak.mean():.3f}")
    print(", ".join(f"{chain.labels[i]} {pi[i]:.3f}" for i in heaviest))
    for name, value in balance(chain).items():
        print(f"| {name} | {value:.4g} |")
    print(table([tuned(chain, beta) for beta in BETAS[: 2 if SMOKE else None]]))


if __name__ == "__main__":
    main()
