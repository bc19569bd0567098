#!/usr/bin/env python3
"""Opens model directories that training wrote with Hugging Face transformers.

    written_model.py --bin build/release/bin

Random models go through `rewrite_model`, the parameters of training and out again.  transformers must find
every tensor that it looks for and no other (but the second head's of a model with two), hold the numbers of the
model that was read, bit for bit, and give its logits (to a rounding: torch's sums depend on how a mapped tensor is
aligned).  Prints "SKIPPED:" without torch and transformers.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(0)

MLM = transformers.BertForMaskedLM
CLS = transformers.BertForSequenceClassification
# name: options of random_model, of rewrite_model, head of the original (None: a new one), heads to open
MODELS = {
    "tied": ([], [], MLM, [MLM]),
    "untied": (["--decoder", "untied"], [], MLM, [MLM]),
    "bf16": (["--dtype", "bf16"], ["bf16"], MLM, [MLM]),
    "older names": (["--gamma_beta", "--no_prefix"], [], None, [MLM]),
    "cls": (["--arch", "cls", "--pooler"], [], CLS, [CLS]),
    "both": (["--arch", "both", "--pooler"], [], CLS, [CLS, MLM]),
    "new head": ([], ["cls"], None, [CLS, MLM]),
}
OF_HEAD = {MLM: ("cls.predictions.",), CLS: ("bert.pooler.", "classifier.")}


def open_model(kind, path, **options):
    model, info = kind.from_pretrained(path, dtype=torch.float32, output_loading_info=True, **options)
    return model.eval(), info


def logits(model):
    ids = torch.tensor([[2, 9, 31, 4, 60, 3], [2, 5, 6, 7, 8, 3]])
    with torch.no_grad():
        return model(input_ids=ids).logits


def check_keys(kind, info, others):
    """The tensors of another head may be left over, nothing else."""
    allowed = tuple(start for other in others for start in OF_HEAD[other])
    unexpected = [key for key in info["unexpected_keys"] if not key.startswith(allowed or ("\n",))]
    wrong = [list(info["missing_keys"]), unexpected, list(info["mismatched_keys"])]
    if any(wrong):
        raise SystemExit(f"{kind.__name__}: missing, unexpected, mismatched: {wrong}")


def compare(name, model, original):
    want = original.state_dict()
    other = [key for key, tensor in model.state_dict().items() if not torch.equal(tensor, want[key])]
    if other:
        raise SystemExit(f"{name}: other numbers in {', '.join(other)}")
    if not torch.allclose(logits(model), logits(original), rtol=1e-5, atol=1e-5):
        raise SystemExit(f"{name}: other logits")


def check(folder, programs, name, random_options, write_options, original, kinds):
    source, target = folder / f"{name}-from", folder / f"{name}-to"
    subprocess.run([programs / "random_model", *random_options, source], check=True)
    subprocess.run([programs / "rewrite_model", source, target, *write_options], check=True)
    for kind in kinds:
        model, info = open_model(kind, target)
        check_keys(kind, info, [other for other in kinds if other is not kind])
        config = model.config
        if kind is CLS and (config.num_labels, config.problem_type) != (1, "regression"):
            raise SystemExit(f"{name}: {config.num_labels} labels, {config.problem_type}")
        if kind is original:
            labels = {"num_labels": 1} if kind is CLS else {}  # which a random model does not say
            compare(name, model, open_model(kind, source, **labels)[0])
    transformers.AutoTokenizer.from_pretrained(target)("a b w58")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    programs = parser.parse_args().bin
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        for name, options in MODELS.items():
            check(pathlib.Path(folder), programs, name, *options)
            print(f"{name}: opens, {', '.join(kind.__name__ for kind in options[3])}")


if __name__ == "__main__":
    main()
