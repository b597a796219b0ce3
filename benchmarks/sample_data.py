"""Measures tools/make_sample_data.py in images per second, with and without the start-up of the process.

python benchmarks/sample_data.py [--images=600] [--runs=3]
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "make_sample_data.py"


def seconds(images: int) -> float:
    """Wall time in seconds of a run that writes a number of images."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        flags = [f"--output_dir={folder}", f"--num_train={images - 1}", "--num_test=1", "--num_poses=1"]
        subprocess.run([sys.executable, TOOL, *flags], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    whole, without = [], []
    for _ in range(args.runs):
        start_up, total = seconds(2), seconds(args.images)
        whole.append(args.images / total)
        without.append((args.images - 2) / (total - start_up))
    for name, values in (("whole process", whole), ("without start-up", without)):
        print(f"{name:17s} {statistics.median(values):6.1f} images/s  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
