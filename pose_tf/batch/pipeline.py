"""The pipeline of a batch: inputs -> chunks -> RunInference -> tables."""

import contextlib
import dataclasses
import io
import os
import pathlib
import queue
import re
import signal
import threading

import apache_beam as beam
import grpc
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, TypeOptions, WorkerOptions
from apache_beam.runners.runner import PipelineState

from pose_tf.batch import inputs, storage, tables
from pose_tf.batch.handler import PoseHandler
from pose_tf.errors import UserError
from pose_tf.predict.camera import CameraOptions
from pose_tf.predict.finders import people_finder
from pose_tf.predict.media import InputError

ROOT = str(pathlib.Path(__file__).resolve().parents[2])


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of `predict_batch`.

    Attributes:
        kind: what the inputs are, one of `inputs.KINDS`.
        patterns: patterns of their files, on any file system that Beam reads.
        output_dir: directory of the tables.
        model: path or URL of an exported model; None for the starter.
        min_score: minimum score of a person, see `find_people`.
        fov: angle in degrees that the longer side of an image covers; None for its EXIF data, or a guess.
        chunk_size: the most images whose rows are written together.
    """

    kind: str
    patterns: tuple[str, ...]
    output_dir: str
    model: str | None = None
    min_score: float | None = None
    fov: float | None = None
    chunk_size: int = 256

    def settings(self) -> dict:
        """What all runs into one directory share."""
        return {"kind": self.kind, "model": self.model, "min_score": self.min_score, "fov": self.fov}


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many inputs a run has done, people it has found in them, and inputs that failed."""

    inputs: int
    people: int
    errors: int


class Commit(beam.DoFn):
    """Writes the rows of a chunk and counts them."""

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder
        self._counters = {table: Metrics.counter("pose_tf", table) for table in tables.TABLES}

    def process(self, rows: tables.Rows):
        tables.commit(self._folder, rows)
        for table, counter in self._counters.items():
            counter.inc(len(getattr(rows, table)))


def predict_batch(options: Options, beam_options: list[str]) -> Counts:
    """Estimates the poses of all people in many inputs, except for inputs that earlier runs have done.

    Args:
        options: see `Options`.
        beam_options: flags of Beam and of its runner.

    Raises:
        InputError: a pattern matches no file, or a table of boxes cannot be read.
        UserError: an option is wrong, the directory holds results of other settings, or the pipeline fails.
    """
    pipeline_options = parse(beam_options)
    camera = CameraOptions(fov=options.fov)
    folder = storage.absolute(options.output_dir)
    patterns = [storage.absolute(pattern) for pattern in options.patterns]
    model = options.model and storage.absolute(options.model)
    for pattern in patterns:
        _check(options.kind, pattern)
    tables.check_settings(folder, dataclasses.replace(options, model=model).settings())
    tables.remove_remains(folder)
    if options.kind == "input":
        people_finder()  # warns here, and not in a worker, if it is a worse one
    try:
        pipeline = beam.Pipeline(options=pipeline_options)
    except (ValueError, ImportError) as error:  # there is no such runner, or it is not installed
        raise UserError(f"Beam: {error}") from None
    _ = (
        pipeline
        | inputs.Chunks(options.kind, patterns, folder, 1 if options.kind == "records" else options.chunk_size)
        | "LeaveOutWritten" >> beam.Filter(lambda chunk: not tables.is_done(folder, chunk.name))
        | RunInference(PoseHandler(model, options.min_score, camera))
        | beam.ParDo(Commit(folder))
    )
    result = _run(pipeline)
    tables.remove_remains(folder)
    return _counts(result)


def _check(kind, pattern):
    try:
        found = storage.match(pattern, most=1)
        if kind == "boxes" and found:
            inputs.check_boxes_table(found[0])
    except UserError as error:
        raise InputError(str(error)) from None
    if not found:
        raise InputError(f"{pattern} matches no file; for all files of a folder, write FOLDER/*")


def parse(beam_options: list[str]) -> PipelineOptions:
    """The options of Beam.

    Raises:
        UserError: one is wrong, or the local runner does not know it. Other runners have options of their own.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            options = PipelineOptions(beam_options)
            runner = options.view_as(StandardOptions).runner or "DirectRunner"
            unknown = options.display_data().keys() - PipelineOptions([]).get_all_options().keys()
    except SystemExit:  # what argparse does
        raise UserError(f"Beam: {errors.getvalue().strip().rpartition('error: ')[2]}") from None
    if unknown and runner in StandardOptions.LOCAL_RUNNERS:
        raise UserError(f"Beam has no option --{', --'.join(sorted(unknown))}")
    # The direct runner would otherwise download and start Prism, another runner, which pays no attention to the number
    # of workers. There are no triggers here.
    options.view_as(TypeOptions).allow_unsafe_triggers = True
    logs = options.view_as(WorkerOptions)
    logs.default_sdk_harness_log_level = logs.default_sdk_harness_log_level or "CRITICAL"
    return options


def _run(pipeline):
    """Runs a pipeline to its end.

    The direct runner waits forever for a worker that was killed. All that it does then is to let a thread fail, so the
    pipeline runs in another thread than this one.
    """
    ended = queue.SimpleQueue()

    def run():
        try:
            result = pipeline.run()
            ended.put((result, result.wait_until_finish()))
        except Exception as error:  # runners pass on whatever their workers raise
            ended.put((error, None))

    def report(failed):
        if failed.thread and failed.thread.name.startswith("run_worker"):
            ended.put((failed.exc_value, None))
        elif not isinstance(failed.exc_value, grpc.RpcError):  # these are connections of the same worker
            before(failed)

    before, threading.excepthook = threading.excepthook, report
    with _importable():
        threading.Thread(target=run, daemon=True).start()
        result, state = ended.get()
    if isinstance(result, Exception) or state not in (PipelineState.DONE, None):
        reason = _reason(result) if isinstance(result, Exception) else f"the pipeline ended as {state}"
        _kill_children(os.getpid())  # threads that see this end later, and still report it
        raise UserError(f"{reason}; the same command continues where this one stopped") from None
    threading.excepthook = before
    return result


@contextlib.contextmanager
def _importable():
    """Lets the processes that a local runner starts import this package where it is not installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, [before])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _kill_children(parent):
    """Ends the workers of a local runner, which would print how they lost their connection, and those they started."""
    for path in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # another one has ended in the meantime
            for child in map(int, path.read_text().split()):
                os.kill(child, signal.SIGSTOP)  # so that a shell neither ends nor reports what happens to its child
                _kill_children(child)
                os.kill(child, signal.SIGKILL)


def _reason(error):
    """The sentence of an error in a worker, without the traceback and the steps that Beam adds."""
    text = re.sub(r" \[while running .*?\]", "", str(error)).strip()
    return text.splitlines()[-1].removeprefix("pose_tf.errors.UserError: ") if text else type(error).__name__


def _counts(result):
    found = result.metrics().query(MetricsFilter().with_namespace("pose_tf"))["counters"]
    numbers = {counter.key.metric.name: counter.result for counter in found}
    return Counts(*(numbers.get(table, 0) for table in ("inputs", "people", "errors")))
