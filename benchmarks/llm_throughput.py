"""Tokens a second of a language model against a plain loop over llama_decode.

    python -m benchmarks.llm_throughput [--batch 32] [--steps 8] [--prompt 200]

The loop is the benchmark of llama.cpp for batches (llama-batched-bench): sequences that share a
prompt, one token of each a call. `next_log_probs` gets the same tokens as contexts, and returns
normalised rows. One thread, CPU seconds, the best of three rounds in turn. The last row expands a
tree best first, a batch a call: its tokens are those evaluated, its rows are the nodes.
"""

import argparse
import heapq
import time

import numpy as np

from fastebm import llm

ROUNDS = 3


def steps(n_vocab, batch, n_steps):
    """Tokens of each step."""
    return np.random.default_rng(0).integers(100, min(1000, n_vocab), (n_steps, batch)).tolist()


def plain_loop(model, prompt, tokens):
    """CPU seconds of llama_decode for the steps after the prompt, rows read but not normalised."""
    import llama_cpp as api

    batch = len(tokens[0])
    parameters = api.llama_context_default_params()
    parameters.n_ctx = len(prompt) + batch * len(tokens) + 256
    parameters.n_batch = parameters.n_ubatch = 512
    parameters.n_seq_max, parameters.kv_unified = batch, True
    parameters.n_threads = parameters.n_threads_batch = 1
    context = api.llama_init_from_model(model, parameters)
    memory = api.llama_get_memory(context)
    entries = api.llama_batch_init(512, 0, 1)

    def decode(rows):
        entries.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            entries.token[i], entries.pos[i], entries.n_seq_id[i] = token, position, 1
            entries.seq_id[i][0], entries.logits[i] = sequence, wanted
        assert api.llama_decode(context, entries) == 0

    decode([(token, i, 0, False) for i, token in enumerate(prompt)])
    for sequence in range(1, batch):
        api.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
    begin = time.process_time()
    for i, step in enumerate(tokens):
        decode([(token, len(prompt) + i, j, True) for j, token in enumerate(step)])
        np.ctypeslib.as_array(api.llama_get_logits(context), (1,)).copy()
    seconds = time.process_time() - begin
    api.llama_batch_free(entries)
    api.llama_free(context)
    return seconds


def rows_of(model, prompt, tokens):
    """CPU seconds of `next_log_probs` for the same steps."""
    contexts = [list(prompt) for _ in tokens[0]]
    model.next_log_probs([prompt])
    begin = time.process_time()
    for step in tokens:
        for context, token in zip(contexts, step, strict=True):
            context.append(token)
        model.next_log_probs(contexts)
    return time.process_time() - begin


def tree(model, prompt, batch, n_rows):
    """(rows, tokens evaluated, CPU seconds) of a best-first expansion."""
    heap, rows, evaluated = [(0.0, ())], 0, [0]
    evaluate = model._context._evaluate

    def counting(chunk, *arguments):
        evaluated[0] += len(chunk)
        evaluate(chunk, *arguments)

    model._context._evaluate = counting
    begin = time.process_time()
    while rows < n_rows:
        nodes = [heapq.heappop(heap) for _ in range(min(batch, len(heap)))]
        rows += len(nodes)
        found = model.next_log_probs([[*prompt, *path] for _, path in nodes])
        for (cost, path), row in zip(nodes, found, strict=True):
            for token in np.argpartition(-row, 8)[:8].tolist():
                heapq.heappush(heap, (cost - float(row[token]), (*path, token)))
    seconds = time.process_time() - begin
    model._context._evaluate = evaluate
    return rows, evaluated[0], seconds


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=200, help="tokens")
    parser.add_argument("--rows", type=int, default=600, help="nodes of the tree")
    options = parser.parse_args(arguments)
    begin = time.process_time()
    models = {"float32": llm.load("smollm2", num_threads=1)}
    print(f"load: {time.process_time() - begin:.2f} CPU seconds")
    models["as stored"] = llm.load("smollm2", num_threads=1, float32=False)
    tokens = steps(models["float32"].n_vocab, options.batch, options.steps)
    prompt = (models["float32"].encode("Question: 3 + 4\nAnswer: 7.\n") * options.prompt)[
        : options.prompt
    ]
    n_tokens = options.batch * options.steps
    best = {}
    for _ in range(ROUNDS):
        for name, model in models.items():
            owner = model._context._owner
            for kind, seconds in (
                ("llama_decode", plain_loop(owner.model, prompt, tokens)),
                ("next_log_probs", rows_of(model, prompt, tokens)),
            ):
                key = name, kind
                best[key] = min(best.get(key, np.inf), seconds)
    print("| weights | tokens/s of llama_decode | of next_log_probs | ratio |\n|---|---|---|---|")
    for name in models:
        plain, ours = (n_tokens / best[name, kind] for kind in ("llama_decode", "next_log_probs"))
        print(f"| {name} | {plain:.0f} | {ours:.0f} | {ours / plain:.2f} |")
    for name, model in models.items():
        rows, evaluated, seconds = tree(model, prompt, options.batch, options.rows)
        print(
            f"tree, {name}: {rows} rows, {evaluated} tokens, {rows / seconds:.0f} rows/s,"
            f" {evaluated / seconds:.0f} tokens/s"
        )


if __name__ == "__main__":
    main()
