"""A page with the starter, which is slow to make."""

import pathlib

import pytest

from pose_tf.errors import UserError
from pose_tf.web import page, runtime


@pytest.fixture(scope="session")
def litert_js():
    """The files of LiteRT for the web."""
    try:
        return runtime.read()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def starter_file(tmp_path_factory):
    """Path of the starter as a .tflite file in float16."""
    from pose_tf import starter
    from pose_tf.evaluation.loading import load_estimator
    from pose_tf.export import examples
    from pose_tf.export.one_file import OneFileExporter

    estimator = load_estimator(*map(starter.folder, ("detector", "lifter")))
    exporter = OneFileExporter(estimator, examples.rendered(1, estimator.skeleton), card={"starter": starter.origin()})
    return exporter.export(str(tmp_path_factory.mktemp("starter")), "litert", "float16")[0]


@pytest.fixture(scope="session")
def folder(starter_file, litert_js, tmp_path_factory):
    """Folder of a page; tests do not change it."""
    folder = tmp_path_factory.mktemp("page") / "web"
    page.write(str(folder), starter_file, litert_js)
    return pathlib.Path(folder)
