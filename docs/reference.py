"""Writes the API reference, made from the docstrings: python docs/reference.py --output_dir=site

Open site/index.html in a browser.
"""

import argparse
import pathlib
import pkgutil
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import pdoc
import pdoc.extract
import pdoc.render

import pose_tf
from pose_tf import cli

LEFT_OUT = (
    *("pose_tf.batch", "pose_tf.cli", "pose_tf.configs", "pose_tf.starter", "pose_tf.synthetic"),
    "pose_tf.data.voc_occluders",
)
"""Commands document themselves with --help, recipes in their files; batches need Beam, which may not be installed; the
rest is not an interface."""


def modules() -> list[str]:
    """Names of the modules that the reference describes."""
    found = [module.name for module in pkgutil.walk_packages(pose_tf.__path__, "pose_tf.")]
    chosen, covered = [], set()
    for name in ("pose_tf", *found):
        if name not in covered and not name.startswith(LEFT_OUT):  # pdoc adds what is inside of a package
            chosen.append(name)
            covered.update(pdoc.extract.walk_specs([name]))
    return chosen + [f"!{re.escape(name)}" for name in LEFT_OUT]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="site", help="directory to write")
    output_dir = pathlib.Path(parser.parse_args().output_dir)
    cli.start_tensorflow()  # without its messages
    for name in pose_tf.__all__:  # they are imported when they are used; pdoc looks for those that have been
        getattr(pose_tf, name)
    pdoc.render.configure(docformat="google", include_undocumented=False)
    pdoc.pdoc(*modules(), output_directory=output_dir)
    print(f"API reference: {output_dir}/index.html")


if __name__ == "__main__":
    main()
