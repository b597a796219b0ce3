"""Tests of the configuration in `deploy/` for containers, TF Serving and Prometheus. They start no container."""

import pathlib
import re
import socket
import subprocess

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from pose_tf.export.warmup import BATCH_SIZES
from pose_tf.predict.model import CROPS_AT_ONCE
from tests.serving.prediction_service import PredictionService

ROOT = pathlib.Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
FLAGS = {flag.split("=")[0]: flag.split("=")[1] for flag in SERVICES["cpu"]["command"]}

KNOWN_FLAGS = {
    "--port",
    "--rest_api_port",
    "--rest_api_num_threads",
    "--model_config_file",
    "--monitoring_config_file",
    "--enable_batching",
    "--batching_parameters_file",
    "--tensorflow_intra_op_parallelism",
    "--tensorflow_inter_op_parallelism",
    "--grpc_max_threads",
    "--enable_profiler",
}
"""Among those of TF Serving 2.15.1's model_servers/main.cc. It does not start with one that it does not know."""


def message(name, **fields):
    """A message class of tensorflow.serving that is missing in the package of TF Serving's messages.

    Args:
        name: name of the message.
        fields: {name: (number, type, whether it is repeated)}; the type is a class, or the name of a scalar type.
    """
    proto = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="tensorflow.serving", syntax="proto3")
    described = file.message_type.add(name=name)
    dependencies = set()
    for key, (number, kind, repeated) in fields.items():
        field = described.field.add(name=key, number=number)
        field.label = proto.LABEL_REPEATED if repeated else proto.LABEL_OPTIONAL
        if isinstance(kind, str):
            field.type = getattr(proto, f"TYPE_{kind}")
        else:
            field.type, field.type_name = proto.TYPE_MESSAGE, f".{kind.DESCRIPTOR.full_name}"
            dependencies.add(kind.DESCRIPTOR.file.name)
    file.dependency.extend(dependencies)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))


# From servables/tensorflow/session_bundle_config.proto of TF Serving 2.15.1.
BatchingParameters = message(
    "BatchingParameters",
    max_batch_size=(1, wrappers_pb2.Int64Value, False),
    batch_timeout_micros=(2, wrappers_pb2.Int64Value, False),
    max_enqueued_batches=(3, wrappers_pb2.Int64Value, False),
    num_batch_threads=(4, wrappers_pb2.Int64Value, False),
    thread_pool_name=(5, wrappers_pb2.StringValue, False),
    allowed_batch_sizes=(6, "INT64", True),
    pad_variable_length_inputs=(7, "BOOL", False),
    enable_large_batch_splitting=(8, wrappers_pb2.BoolValue, False),
    max_execution_batch_size=(9, wrappers_pb2.Int64Value, False),
)
# From config/monitoring_config.proto.
PrometheusConfig = message("PrometheusConfig", enable=(1, "BOOL", False), path=(2, "STRING", False))
MonitoringConfig = message("MonitoringConfig", prometheus_config=(1, PrometheusConfig, False))


def read(name, kind):
    return text_format.Parse((DEPLOY / name).read_text(), kind())


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_no_more_than_it_needs(name):
    service = SERVICES[name]
    assert service["user"] == "65534:65534"
    assert service["read_only"] is True
    assert [place.split(":")[0] for place in service["tmpfs"]] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]
    for port in service["ports"]:
        assert re.fullmatch(r"\$\{BIND:-127\.0\.0\.1\}:(\d+):\1", port)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists_and_cannot_be_written(name):
    for mount in SERVICES[name]["volumes"]:
        if isinstance(mount, str):
            assert mount.split(":")[0] in COMPOSE["volumes"]
            continue
        assert mount["read_only"] is True
        if mount["target"] == "/models/pose":
            assert mount["source"] == "${MODEL_DIR:-../model}"
            assert mount["bind"] == {"create_host_path": False}
        else:
            assert (DEPLOY / mount["source"]).is_file()


@pytest.mark.parametrize(("name", "suffix"), [("cpu", ""), ("gpu", "-gpu")])
def test_versions_are_those_of_requirements(name, suffix):
    pins = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert SERVICES[name]["image"] == f"tensorflow/serving:{pins['tensorflow-serving-api']}{suffix}"
    assert pins["tensorflow-serving-api"] == pins["tensorflow"]


def test_profiles_choose_the_services():
    assert {name: service["profiles"] for name, service in SERVICES.items()} == {
        "cpu": ["cpu"],
        "gpu": ["gpu"],
        "prometheus": ["monitoring"],
    }
    (device,) = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert SERVICES["gpu"]["environment"] == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert "reservations" not in SERVICES["cpu"]["deploy"]["resources"]
    assert re.fullmatch(r"prom/prometheus:v\d+\.\d+\.\d+", SERVICES["prometheus"]["image"])


def test_the_variables_and_their_defaults_are_those_of_the_page_about_serving():
    page = (ROOT / "docs" / "serving.md").read_text()
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]+?)`? \|", page, re.MULTILINE))
    used = re.findall(r"\$\{([A-Z_]+):-(.*?)\}", (DEPLOY / "compose.yaml").read_text())
    assert listed == dict(used) and len(set(used)) == len(listed) == 4


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_flags_are_known_and_name_files_that_are_mounted(name):
    service = SERVICES[name]
    assert service["entrypoint"] == ["/usr/bin/tensorflow_model_server"]
    assert service["init"] is True
    assert service["command"] == SERVICES["cpu"]["command"]
    assert set(FLAGS) == KNOWN_FLAGS
    targets = {mount["target"]: mount["source"] for mount in service["volumes"]}
    assert targets[FLAGS["--model_config_file"]] == "./models.config"
    assert targets[FLAGS["--monitoring_config_file"]] == "./monitoring.config"
    assert targets[FLAGS["--batching_parameters_file"]] == f"./batching.{name}.config"
    assert [port.split(":")[-1] for port in service["ports"]] == [FLAGS["--port"], FLAGS["--rest_api_port"]]
    cpus = service["deploy"]["resources"]["limits"]["cpus"]
    assert FLAGS["--tensorflow_intra_op_parallelism"] == FLAGS["--tensorflow_inter_op_parallelism"] == cpus


def test_the_newest_version_of_one_model_is_served():
    (model,) = read("models.config", model_server_config_pb2.ModelServerConfig).model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("pose", "/models/pose", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1


def test_prometheus_finds_the_metrics():
    metrics = read("monitoring.config", MonitoringConfig).prometheus_config
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    assert metrics.enable
    assert job["metrics_path"] == metrics.path == "/monitoring/prometheus/metrics"
    for name in ("cpu", "gpu"):
        (alias,) = SERVICES[name]["networks"]["default"]["aliases"]
        assert job["static_configs"] == [{"targets": [f"{alias}:{FLAGS['--rest_api_port']}"]}]
    assert f"--config.file={SERVICES['prometheus']['volumes'][0]['target']}" in SERVICES["prometheus"]["command"]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_batching_fits_the_model_and_itself(name):
    batching = read(f"batching.{name}.config", BatchingParameters)
    largest, splits = batching.max_batch_size.value, batching.enable_large_batch_splitting.value
    executed = batching.max_execution_batch_size.value if splits else largest
    assert largest == CROPS_AT_ONCE == 32  # as docs/serving.md says
    assert max(BATCH_SIZES) <= largest  # otherwise warm-up requests would fail
    assert 1 <= executed <= largest
    assert executed * batching.max_enqueued_batches.value >= largest  # else the largest request would always fail
    assert batching.num_batch_threads.value >= 1
    assert batching.batch_timeout_micros.value >= 0
    if sizes := list(batching.allowed_batch_sizes):
        assert sizes == sorted(set(sizes)) and sizes[-1] == largest
        assert set(BATCH_SIZES) <= set(sizes)
    waiting = executed * (batching.max_enqueued_batches.value + batching.num_batch_threads.value)
    assert waiting <= int(FLAGS["--grpc_max_threads"])  # each request holds a thread


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_images_fit_beside_the_model(name):
    """The model takes 6 GB while its next version is loaded; the largest image takes 0.75 GB, see tests/export."""
    batching = read(f"batching.{name}.config", BatchingParameters)
    (memory,) = re.findall(r"^\$\{MEMORY:-(\d+)g\}$", SERVICES[name]["deploy"]["resources"]["limits"]["memory"])
    assert 6 + 0.75 * batching.num_batch_threads.value <= int(memory)


def test_on_a_cpu_one_request_cannot_spoil_another():
    batching = read("batching.cpu.config", BatchingParameters)
    assert batching.max_execution_batch_size.value == 1
    assert not batching.allowed_batch_sizes
    assert SERVICES["cpu"]["deploy"]["resources"]["limits"]["cpus"] == f"${{CPUS:-{batching.num_batch_threads.value}}}"


def test_the_health_check_asks_whether_the_model_is_there(exported):
    check = SERVICES["cpu"]["healthcheck"]
    assert SERVICES["gpu"]["healthcheck"] == check
    assert check["test"][:3] == ["CMD", "bash", "-c"]
    assert "$" not in check["test"][3]  # Compose would insert a variable there

    def healthy(address):
        command = check["test"][3].replace(FLAGS["--rest_api_port"], address.split(":")[-1])
        return subprocess.run(["bash", "-c", command], capture_output=True, timeout=5).returncode == 0

    with PredictionService(exported) as service:
        assert healthy(service.rest)
        service.ready = False
        assert not healthy(service.rest)
    with PredictionService(exported, model="other") as service:
        assert not healthy(service.rest)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert not healthy(f"127.0.0.1:{reserved.getsockname()[1]}")
