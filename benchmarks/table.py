"""Every engine against its reference, in one table: on the terminal and in results/benchmarks/table.tsv.

Ratios are medians over rounds in which engine and reference run in turns. Which ratio it is says its bound:
``>= 9``, so many times as fast as the reference; ``<= 1.4``, so many times its time.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import of_bootstrap
import of_embedding
import of_extraction
import of_fits
import of_lens
import of_trace
import pandas as pd
import torch
from frame import disk_rate, gemm_rate
from shapes import CPU, SHAPES
from torch.backends import mkldnn

ENGINES = {
    "trace": of_trace,
    "lens": of_lens,
    "extraction": of_extraction,
    "fits": of_fits,
    "embedding": of_embedding,
    "bootstrap": of_bootstrap,
}
QUICK = "small"
PATH = Path("results/benchmarks/table.tsv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["small", "medium", "smollm2", "xl"])
    parser.add_argument("--quick", action="store_true", help=f"shape {QUICK} alone, few rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--torch-products",
        action="store_true",
        help="engines and references with torch's own products, as where no other library is faster",
    )
    parser.add_argument("--device", type=torch.device, default=CPU, help="cuda: what is asked of a GPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.torch_products:
        mkldnn.set_flags(False)
    shapes, rounds = ([QUICK], 3) if options.quick else (options.shapes, options.rounds)
    on_cpu = options.device.type == "cpu"
    machine = f"{options.threads} threads" if on_cpu else torch.cuda.get_device_name(options.device)
    machine += f": {gemm_rate(options.device) / 1e9:,.0f} GFLOP/s in a large float32 product"
    print(f"{machine}, {disk_rate() / 1e6:.0f} MB/s to disk; medians of {rounds} rounds", flush=True)
    rows = []
    for shape in shapes:
        for engine in options.engines:
            for row in ENGINES[engine].rows(shape, options.device, rounds, options.quick):
                rows.append(asdict(row) | {"met": row.met})
                what = f"{row.engine:28} {row.shape:36} {row.reference:32}"
                bounds = f"must {row.must}" + (f", aim {row.aim}" if row.aim else "")
                print(f"{what} {row.ratio:8.2f}  {bounds}: {row.met}", flush=True)
    PATH.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(PATH, sep="\t", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
