"""Held-out masked loss of a model trained by secondpass and by PyTorch: same initial weights, same
samples of text, as many tokens, same optimiser, each with its own order and masks.
Called by `bench/train.sh parity`.

Every --holdout-every-th sentence is held out. Both results are evaluated by the same programs: the
masked loss of the same masks in PyTorch, f32, and the mean pseudo-log-likelihood of a token by
`secondpass score`. A run whose model is there already is not made again.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import safetensors.torch
import torch

import packed
import work

MASK_SPLIT = (80, 10, 10)  # percent of targets shown as [MASK], as a random token, as they are
SHOWN = tuple(percent / 100 for percent in MASK_SPLIT[:2])


def schedule(args):
    """The learning rate of a step, from 1: up to --rate in --warmup steps, then down to --end-rate."""
    def rate(step):
        if step < args.warmup:
            return args.rate * step / args.warmup
        share = (step - args.warmup) / max(args.steps - args.warmup, 1)
        if args.decay == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return args.rate + (args.end_rate - args.rate) * (share if args.decay != "constant" else 0)
    return rate


def run(command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}")
    return done.stdout


def prepare(args):
    """(initial model, its tokenizer); lines.txt to train on and heldout.txt, in --work."""
    model = work.write_model(args.work / "initial", args.shape)
    words, texts = work.Words(model), []
    wanted = args.steps * args.step_tokens * args.epoch_share
    tokens = 0
    for text in work.sentences(args.text):
        texts.append(text)
        tokens += len(text.split()) + 2
        if tokens >= 1.2 * wanted and len(texts) >= 20 * args.holdout_every:
            break
    train, held = work.split(texts, args.holdout_every)
    held = held[:args.held_out]
    lines = work.samples(train, [len(i) for i in words.ids(train)], args.join_share, args.max_tokens, 1)
    for name, all_lines in (("lines.txt", [text for text, _ in lines]), ("heldout.txt", held)):
        (args.work / name).write_text("".join(l + "\n" for l in all_lines), encoding="utf-8")
    return model, words


def train_ours(args, model):
    out = args.work / f"ours-{args.dtype}"
    if not (out / "_SUCCESS").exists():
        run([args.program, "train", "--objective", "mlm", "--model", model,
             "--data", args.work / "lines.txt", "--out", out, "--device", "cpu",
             "--dtype", args.dtype, "--threads", args.threads, "--steps", args.steps,
             "--step-tokens", args.step_tokens, "--batch-tokens", min(args.step_tokens, 4096),
             "--join-share", 0, "--max-tokens", args.max_tokens,
             "--mask-rate", args.mask_rate, "--mask-split", ",".join(map(str, MASK_SPLIT)),
             "--rate", args.rate, "--end-rate", args.end_rate, "--warmup", args.warmup,
             "--decay", args.decay, "--weight-decay", args.weight_decay, "--clip", args.clip,
             "--seed", args.seed, "--save-dtype", "f32"])
    lines = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    steps = [line for line in lines if not line.get("eval")]
    return dict(model=str(out / "model"), tokens=sum(s["tokens"] for s in steps),
                loss=[s["loss"] for s in steps])


def save(model, initial, out):
    out.mkdir(parents=True, exist_ok=True)
    for file in initial.iterdir():
        if file.name not in ("model.safetensors", "config.json"):
            shutil.copy(file, out)
    safetensors.torch.save_file(model.tensors(), out / "model.safetensors", {"format": "pt"})
    shutil.copy(initial / "config.json", out)  # last: it says that all is there


def train_theirs(args, initial, words, optimizer):
    out = args.work / f"pytorch-{args.dtype}"
    log = out / "losses.json"
    if log.exists():
        return json.loads(log.read_text())
    ids = words.ids((args.work / "lines.txt").read_text(encoding="utf-8").splitlines())
    lengths = [len(i) + 2 for i in ids]
    plan = work.steps(lengths, args.step_tokens, args.seed, args.steps)
    model = packed.Encoder(initial, work.SHAPES[args.shape])
    model.attend = packed.plain_attention
    training = packed.Training(model, "f32" if args.dtype == "f32" else "autocast", schedule(args),
                               args.weight_decay, args.clip, *optimizer)
    losses, began = [], time.perf_counter()
    for batches in packed.steps_of(ids, plan, words, work.SHAPES[args.shape]["vocab"],
                                   args.mask_rate, SHOWN, 4, args.step_tokens // 2, args.seed):
        losses.append(training.step(batches))
        if len(losses) % 50 == 0:
            print(f"PyTorch: step {len(losses)} of {args.steps}, loss {np.mean(losses[-50:]):.4f}, "
                  f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
    save(model, initial, out / "model")
    result = dict(model=str(out / "model"), tokens=sum(lengths[i] for step in plan for i in step),
                  loss=losses)
    log.write_text(json.dumps(result))
    return result


def optimizer_of(out):
    """(betas, eps) as our run resolved them."""
    update = json.loads((out / "train.json").read_text(encoding="utf-8"))["update"]
    return (update["beta1"], update["beta2"]), update["eps"]


@torch.no_grad()
def masked_loss(args, folder, words):
    """Nats a target over the held-out sentences, the same masks for every model."""
    model = packed.Encoder(folder, work.SHAPES[args.shape])
    model.attend = packed.plain_attention
    ids = [i for i in words.ids((args.work / "heldout.txt").read_text(encoding="utf-8").splitlines())
           if 0 < len(i) <= args.max_tokens - 2]
    lengths, draw = [len(i) + 2 for i in ids], np.random.default_rng(1234)
    total = targets = 0
    for item in packed.packs(sorted(range(len(ids)), key=lengths.__getitem__), lengths, 4096):
        batch = packed.Batch([work.masked(ids[i], words, work.SHAPES[args.shape]["vocab"],
                                          args.mask_rate, (1, 0), draw) for i in item], 4)
        total += float(model(batch))
        targets += len(batch.targets)
    return total / targets


def pll(args, folder, name):
    """Nats a token that `secondpass score` gives the held-out sentences, in f32."""
    out = args.work / f"pll-{name}"
    shutil.rmtree(out, ignore_errors=True)
    run([args.program, "score", "--model", folder, "--dtype", "f32", "--threads", args.threads,
         "--format", "text", "--limit", args.pll_sentences, "--out", out, args.work / "heldout.txt"])
    total = tokens = 0
    for line in run([args.program, "cat", out]).splitlines():
        for hyp in json.loads(line)["hyps"]:
            if hyp["pll"] is not None:
                total, tokens = total - hyp["pll"], tokens + hyp["n"]
    return total / tokens


def table(results):
    out = [f"{results['shape']}, {results['steps']} steps of {results['step_tokens']:,} tokens, "
           f"{results['dtype']}", "",
           "| trained by | tokens | masked loss, held out | nats a token of PLL | last training loss |",
           "|---|---|---|---|---|"]
    for name, one in results["runs"].items():
        out.append(f"| {name} | {one['tokens']:,} | {one['masked_loss']:.4f} | {one['pll']:.4f} | "
                   f"{one['last_loss']:.4f} |")
    out.append(f"\nsecondpass is {100 * results['difference']:+.2f} % in masked loss "
               f"({'within' if abs(results['difference']) <= 0.02 else 'BEYOND'} 2 %).")
    return "\n".join(out) + "\n"


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(work.ROOT / "build/release/secondpass"))
    parser.add_argument("--work", type=pathlib.Path, default=work.ROOT / "build/train/parity")
    parser.add_argument("--text", required=True, help="sentences, a line each; .zst too")
    parser.add_argument("--shape", default="4x256", choices=list(work.SHAPES))
    parser.add_argument("--dtype", default="bf16", choices=("bf16", "f32"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--step-tokens", type=int, default=4096)
    parser.add_argument("--max-tokens", type=int, default=192)
    parser.add_argument("--join-share", type=float, default=0.5)
    parser.add_argument("--epoch-share", type=float, default=1.0,
                        help="tokens of the text over tokens that are trained on")
    parser.add_argument("--mask-rate", type=float, default=0.2)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--end-rate", type=float, default=0.0)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--decay", default="linear", choices=("linear", "cosine", "constant"))
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--holdout-every", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=2000, help="sentences of the evaluation")
    parser.add_argument("--pll-sentences", type=int, default=200)
    return parser.parse_args()


def main():
    args = parse()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    initial, words = prepare(args)
    runs = {"secondpass": train_ours(args, initial)}
    optimizer = optimizer_of(args.work / f"ours-{args.dtype}")
    runs["PyTorch"] = train_theirs(args, initial, words, optimizer)
    for name, one in runs.items():
        one["masked_loss"] = masked_loss(args, one["model"], words)
        one["pll"] = pll(args, one["model"], name)
        one["last_loss"] = float(np.mean(one["loss"][-max(args.steps // 10, 1):]))
    ours, theirs = runs["secondpass"], runs["PyTorch"]
    if not abs(ours["tokens"] - theirs["tokens"]) <= 0.01 * theirs["tokens"]:
        sys.exit(f"not as many tokens: {ours['tokens']} and {theirs['tokens']}")
    results = {k: v if not isinstance(v, pathlib.Path) else str(v) for k, v in vars(args).items()}
    results.update(betas=optimizer[0], eps=optimizer[1], runs=runs,
                   difference=ours["masked_loss"] / theirs["masked_loss"] - 1)
    (args.work / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (args.work / "table.md").write_text(table(results), encoding="utf-8")
    print(table(results), end="")


if __name__ == "__main__":
    main()
