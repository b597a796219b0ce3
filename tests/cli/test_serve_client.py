"""Tests of `pose-tf serve-client`, against a replacement for TF Serving with a real exported model."""

import json

import numpy as np
import pytest

from tests.serving.prediction_service import PredictionService


@pytest.fixture(scope="module")
def service(model):
    with PredictionService(f"{model}/1") as running:
        yield running


def people(path):
    return [person for frame in json.loads(path.read_text())["frames"] for person in frame["people"]]


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_server_gives_what_the_model_gives(run_tool, sample_data, model, service, tmp_path, protocol):
    photos = (f"--input={sample_data}/photos", f"--boxes={sample_data}/photos/boxes.csv", "--outputs=json,overlay")
    run_tool("predict", f"--model={model}", *photos, f"--output_dir={tmp_path}/here")
    before = service.requests
    server = f"--server={getattr(service, protocol)}"
    done = run_tool("serving_client", server, *photos, f"--output_dir={tmp_path}/there", "--batch_size=4")
    assert service.requests - before == 2  # 6 people
    assert done.stdout.count("1 person") == 6
    for path in sorted((tmp_path / "here").glob("*.json")):
        for here, there in zip(people(path), people(tmp_path / "there" / path.name), strict=True):
            np.testing.assert_allclose(there["pose2d_px"], here["pose2d_px"], atol=0.01)
            np.testing.assert_allclose(there["pose3d_mm"], here["pose3d_mm"], atol=0.1)
        picture = path.with_suffix(".png").name
        assert (tmp_path / "there" / picture).read_bytes() == (tmp_path / "here" / picture).read_bytes()


def test_a_server_that_is_busy_is_asked_again(run_tool, fails, sample_data, service, tmp_path):
    photo = (f"--input={sample_data}/photos/person0.png", "--box=whole", f"--output_dir={tmp_path}/out")
    service.unavailable = 2
    run_tool("serving_client", f"--server={service.grpc}", *photo)
    assert service.unavailable == 0
    service.unavailable = 2
    message = fails("serving_client", f"--server={service.grpc}", *photo, "--attempts=2", "--outputs=csv")
    assert f"--server={service.grpc} is not available after 2 attempts" in message


def test_mistakes_are_told(fails, sample_data, service, tmp_path):
    photo = (f"--input={sample_data}/photos/person0.png", "--box=whole", f"--output_dir={tmp_path}/out")
    assert "--server=nowhere must be HOST:PORT" in fails("serving_client", "--server=nowhere", *photo)
    message = fails("serving_client", f"--server={service.rest}", "--input=nowhere.jpg", *photo[1:])
    assert "--input=nowhere.jpg does not exist" in message
    message = fails("serving_client", f"--server={service.rest}", *photo, "--model_name=hands")
    assert "has no model 'hands'" in message
    service.delay_s = 2.0
    message = fails("serving_client", f"--server={service.grpc}", *photo, "--timeout_s=0.25")
    service.delay_s = 0.0
    assert f"--server={service.grpc} did not answer within 0.25 s" in message
    assert not list(tmp_path.glob("out/*"))
