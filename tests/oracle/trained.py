"""trained.py - models that `train` writes, opened by Hugging Face transformers.

Every tensor must be taken, none be missing, the tokenizer must give our numbers of tokens, and the
scores must be ours: pll of an mlm model in f32 and in bf16, cls of a distilled student and of one
trained by mwer from scratch. Needs torch and transformers, and is skipped without them."""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(0)

TOLERANCE = 2e-5  # of the spread of the scores, which are computed in f32


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command[:4]))} ..: exit {done.returncode}: {done.stderr}")
    return done.stdout


def write_data(folder):
    rng = random.Random(1)

    def words():
        return " ".join(f"w{rng.randrange(58, 200)}" for _ in range(rng.randrange(2, 15)))

    (folder / "text").write_text("".join(words() + "\n" for _ in range(300)))
    with open(folder / "lists.jsonl", "w", encoding="ascii") as out:
        for u in range(60):
            hyps = [{"text": words(), "score": -1.0 - k} for k in range(3)]
            out.write(json.dumps({"id": f"u{u}", "ref": hyps[1]["text"], "hyps": hyps}) + "\n")


def open_model(kind, directory):
    model, facts = kind.from_pretrained(directory, dtype=torch.float32, output_loading_info=True,
                                        attn_implementation="eager")
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if facts[key]:
            sys.exit(f"{directory}: {key}: {facts[key]}")
    return model.eval()


@torch.no_grad()
def pll(model, ids, mask):
    """ids: with [CLS] and [SEP]."""
    copies = torch.tensor(ids).repeat(len(ids) - 2, 1)
    rows = torch.arange(len(ids) - 2)
    copies[rows, rows + 1] = mask
    found = torch.log_softmax(model(input_ids=copies).logits.double(), -1)
    return float(found[rows, rows + 1, torch.tensor(ids[1:-1])].sum())


@torch.no_grad()
def cls(model, ids, _):
    return float(model(input_ids=torch.tensor([ids])).logits[0, 0])


def check(program, directory, method, archive):
    kind, score = {"pll": (transformers.BertForMaskedLM, pll),
                   "cls": (transformers.BertForSequenceClassification, cls)}[method]
    model = open_model(kind, directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    lines = run(program, "score", "--model", directory, "--method", method, "--dtype", "f32",
                "--with-text", "--out", "-", archive).splitlines()
    ours, theirs = [], []
    for line in lines:
        for hyp in json.loads(line)["hyps"]:
            ids = tokenizer(hyp["text"])["input_ids"]
            if len(ids) - 2 != hyp["n"]:
                sys.exit(f"{directory}: {len(ids) - 2} tokens, ours {hyp['n']}: {hyp['text']}")
            ours.append(hyp[method])
            theirs.append(score(model, ids, tokenizer.mask_token_id))
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    spread = max(theirs) - min(theirs)
    if not worst <= TOLERANCE * spread:
        sys.exit(f"{directory}: {method} differs by {worst}, scores spread over {spread}")
    print(f"{directory.parent.name}: {method} of {len(ours)} within {worst:.1e} (spread {spread:.2g})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--random-model", required=True)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="sp-trained-") as name:
        folder = pathlib.Path(name)
        base = folder / "base"
        run(args.random_model, "--layers", 2, "--hidden", 32, "--heads", 2, "--ffn", 64, "--vocab",
            200, "--positions", 48, "--arch", "mlm", "--dtype", "f32", "--seed", 1, base)
        write_data(folder)

        def train(out, objective, *options):
            data = folder / ("lists.jsonl" if objective == "mwer" else "text")
            run(args.program, "train", "--objective", objective, "--data", data, "--out",
                folder / out, "--steps", 10, "--step-tokens", 400, "--rate", "1e-2", "--warmup", 2,
                "--holdout-every", 10, "--progress", "none", *options)
            return folder / out / "model"

        teacher = train("mlm", "mlm", "--model", base)
        check(args.program, teacher, "pll", folder / "lists.jsonl")
        half = train("mlm-bf16", "mlm", "--model", base, "--save-dtype", "bf16")
        check(args.program, half, "pll", folder / "lists.jsonl")
        run(args.program, "score", "--model", teacher, "--out", folder / "scores", folder / "text")
        student = train("student", "distill", "--model", teacher, "--init-layers", "1",
                        "--teacher", folder / "scores")
        check(args.program, student, "cls", folder / "lists.jsonl")
        lists = train("mwer", "mwer", "--config", base / "config.json", "--vocab", base)
        check(args.program, lists, "cls", folder / "lists.jsonl")


if __name__ == "__main__":
    main()
