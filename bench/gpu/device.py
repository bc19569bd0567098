"""The device itself: what it is, what it can do at most, how busy it was."""

import datetime
import statistics
import subprocess
import threading
import time

import torch


def query(fields):
    """What nvidia-smi says of the first GPU; nothing when it does not answer."""
    try:
        done = subprocess.run(["nvidia-smi", "-i", "0", f"--query-gpu={','.join(fields)}",
                               "--format=csv,noheader,nounits"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=30, check=True)
        return dict(zip(fields, (v.strip() for v in done.stdout.split(","))))
    except (OSError, subprocess.SubprocessError):
        return {}


def facts(device):
    if device.type != "cuda":
        return {"name": "cpu"}
    p = torch.cuda.get_device_properties(0)
    return {"name": p.name, "capability": f"{p.major}.{p.minor}", "processors":
            p.multi_processor_count, "memory_bytes": p.total_memory, "l2_bytes": p.L2_cache_size,
            "cuda": torch.version.cuda,
            **query(["driver_version", "clocks.max.sm", "power.limit", "temperature.gpu"])}


def seconds_of(run, device, passes):
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(passes):
        run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / passes


def limits(device, repeats=5):
    """bf16 FLOP/s of a product of 8192 x 8192 x 8192 on random data, and bytes a second, read and
    written, of a large copy. Zeros would run faster than any real data."""
    size, count = (8192, 1 << 30) if device.type == "cuda" else (64, 1 << 16)
    a = torch.randn(size, size, device=device).to(torch.bfloat16)
    b = torch.randn(size, size, device=device).to(torch.bfloat16)
    c = torch.empty_like(a)
    source = torch.randint(0, 1 << 30, (count,), dtype=torch.int32, device=device)
    target = torch.empty_like(source)

    def product():
        torch.matmul(a, b, out=c)

    def copy():
        target.copy_(source)

    seconds_of(product, device, 20), seconds_of(copy, device, 5)  # warm
    flops = [2 * size**3 / seconds_of(product, device, 50) for _ in range(repeats)]
    rates = [2 * 4 * count / seconds_of(copy, device, 20) for _ in range(repeats)]
    return {"bf16_flops": statistics.median(flops), "all_bf16_flops": flops, "product": size,
            "copy_bytes_per_s": statistics.median(rates), "all_copy_bytes_per_s": rates}


class Utilization:
    """Samples of nvidia-smi's utilization.gpu: the share of its last sampling period in which a
    kernel was running."""

    METHOD = ("100 - mean of nvidia-smi utilization.gpu (share of its sampling period in which a "
              "kernel ran), asked every 100 ms between start-up and the last half second")

    def __enter__(self):
        self.samples, self.process = [], None
        try:
            self.process = subprocess.Popen(
                ["nvidia-smi", "-i", "0", "-lms", "100", "--format=csv,noheader,nounits",
                 "--query-gpu=timestamp,utilization.gpu,clocks.sm,power.draw"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError:
            return self
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()
        return self

    def collect(self):
        for line in self.process.stdout:  # by its own clock: lines may come in bursts
            at, *values = line.split(",")
            try:
                at = datetime.datetime.strptime(at.strip(), "%Y/%m/%d %H:%M:%S.%f").timestamp()
                self.samples.append((at, [float(v) for v in values]))
            except ValueError:
                continue

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.thread.join()

    def idle(self, begin, end):
        """Between two times of time.time()."""
        inside = [values for at, values in self.samples if begin <= at <= end]
        out = {"method": self.METHOD, "samples": len(inside), "idle_percent": None}
        if inside:
            busy, clock, power = (statistics.mean(v) for v in zip(*inside))
            out |= {"idle_percent": 100 - busy, "mean_sm_mhz": clock, "mean_watts": power}
        return out
