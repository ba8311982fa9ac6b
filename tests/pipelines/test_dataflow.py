"""The job that Dataflow would be sent, built offline from the command in docs/engines.md, and what is staged with it.

Dataflow itself is never reached: `--dry_run` builds the job and the packages and stops before the first request.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

apiclient = pytest.importorskip(
    "apache_beam.runners.dataflow.internal.apiclient",
    reason="apache-beam[gcp] is not installed",
    exc_type=ImportError,  # google.cloud may be there without Dataflow's part
)

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions  # noqa: E402
from apache_beam.portability.api import beam_runner_api_pb2  # noqa: E402

from pipelines.beam_options import beam_options  # noqa: E402
from pipelines.convert import build  # noqa: E402
from pipelines.plan import Options, make_plan  # noqa: E402
from pipelines.sources.coco import Source  # noqa: E402

pytestmark = pytest.mark.xdist_group("dataflow")

ROOT = Path(__file__).resolve().parents[2]
SHUFFLES = {"beam:transform:group_by_key:v1", "beam:transform:reshuffle:v1", "beam:transform:combine_per_key:v1"}
OURS = ("schemas", "wordtree", "pipelines", "detector")


def documented_words() -> list[str]:
    """What stands after `--` in the documented command, with names that are valid."""
    page = (ROOT / "docs" / "engines.md").read_text()
    (command,) = (
        block for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if "--runner=DataflowRunner" in block
    )
    words = shlex.split(
        command.replace("\\\n", " ").replace("BUCKET", "some-bucket").replace("PROJECT", "some-project")
    )
    assert words[:3] == ["wordtree", "convert", "coco"]
    return words[words.index("--") + 1 :]


class Built:
    """A job that was built and not sent.

    Attributes:
        pipeline: the proto.
        staged: paths of the files to stage, by the names that workers see.
        request: the environment part of the request, as it would be sent.
    """

    def __init__(self, folder: Path, annotations: str, images: str) -> None:
        package = folder / "package"
        for name in OURS:
            shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, package)
        words = [word.replace("./setup.py", str(package / "setup.py")) for word in documented_words()]
        beam_options(words)  # passes our strictness
        words = [word for word in words if not word.startswith("--requirements_file")]  # would ask the package index
        options = PipelineOptions([*words, "--dry_run=True", "--no_auth"])
        options.view_as(SetupOptions).save_main_session = False  # of pytest
        cloud = options.view_as(GoogleCloudOptions)
        cloud.staging_location = cloud.temp_location  # as the runner does on its way to the service
        job = make_plan(Source(annotations, images), "gs://some-bucket/coco-train", Options(shards=8)).job
        pipeline = beam.Pipeline(options=options)
        build(pipeline, job)
        sent = pipeline.run().job
        self.pipeline = sent.proto_pipeline
        self.staged: dict[str, Path] = {}
        kept = folder / "staged"
        kept.mkdir()
        for environment in self.pipeline.components.environments.values():
            for dependency in environment.dependencies:
                path = beam_runner_api_pb2.ArtifactFilePayload.FromString(dependency.type_payload).path
                name = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(dependency.role_payload).staged_name
                self.staged[name] = Path(shutil.copy(path, kept / name))
        self.request = apiclient.Environment(
            packages=list(self.staged),
            options=options,
            environment_version="1",
            proto_pipeline_staged_url="gs://some-bucket/tmp/pipeline.pb",
            proto_pipeline=self.pipeline,
        ).proto

    def leaves(self) -> dict[str, Any]:
        """The transforms without parts, by full name."""
        found = self.pipeline.components.transforms.values()
        return {step.unique_name: step for step in found if not step.subtransforms and step.spec.urn}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    import io
    import json

    from PIL import Image

    folder = tmp_path_factory.mktemp("dataflow")
    (folder / "images").mkdir()
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6)).save(buffer, "JPEG")
    (folder / "images" / "1.jpg").write_bytes(buffer.getvalue())
    parts = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 8, "height": 6}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 18, "bbox": [1, 1, 2, 2], "iscrowd": 0, "area": 4}],
        "categories": [{"id": 18, "name": "dog"}],
    }
    (folder / "instances.json").write_text(json.dumps(parts))
    return Built(folder, str(folder / "instances.json"), str(folder / "images"))


@pytest.fixture(scope="module")
def unpacked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The staged package as a worker unpacks it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(built.staged["workflow.tar.gz"]) as archive:
        archive.extractall(folder, filter="data")
    (package,) = folder.iterdir()
    return package


def test_the_steps_are_those_of_a_conversion(built: Built) -> None:
    top = {name.split("/")[0] for name in built.leaves()}
    assert top == {
        "number the shards",
        "give each an empty row",
        "name the pieces",
        "read rows",
        "join both",
        "group rows by shard",
        "write shards",
    }


def test_nothing_that_comes_after_the_images_is_shuffled(built: Built) -> None:
    """A walk over the job as it would be sent: what `write shards` puts out reaches no step at all."""
    steps = built.pipeline.components.transforms
    leaves = built.leaves()
    pixels = set(leaves["write shards"].outputs.values())
    assert pixels
    grown = True
    while grown:
        after = {v for s in leaves.values() if pixels & set(s.inputs.values()) for v in s.outputs.values()}
        grown = not after <= pixels
        pixels |= after
    shuffles = [step for step in steps.values() if step.spec.urn in SHUFFLES]
    assert "group rows by shard" in {step.unique_name for step in shuffles}
    assert not [step.unique_name for step in shuffles if pixels & set(step.inputs.values())]


def test_what_is_shuffled_is_a_number_and_bytes(built: Built) -> None:
    components = built.pipeline.components
    (collection,) = built.leaves()["group rows by shard"].inputs.values()
    coder = components.coders[components.pcollections[collection].coder_id]
    parts = [components.coders[part].spec.urn for part in coder.component_coder_ids]
    assert coder.spec.urn == "beam:coder:kv:v1"
    assert parts == ["beam:coder:varint:v1", "beam:coder:bytes:v1"]


def test_only_this_package_is_staged_without_tests(built: Built, unpacked: Path) -> None:
    assert "workflow.tar.gz" in built.staged
    assert set(built.staged) <= {"workflow.tar.gz", "submission_environment_dependencies.txt"}
    for package in OURS:
        wanted = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py")}
        assert {path.relative_to(unpacked) for path in (unpacked / package).rglob("*.py")} == wanted
    assert (unpacked / "wordtree" / "data").is_dir()
    for name in ("tests", "benchmarks", "docs", "examples"):
        assert not (unpacked / name).exists()
    assert built.staged["workflow.tar.gz"].stat().st_size < 20e6


def requirements(package: Path) -> set[str]:
    """Names of the distributions that the staged package installs, without those of extras."""
    text = next(package.glob("*.egg-info")).joinpath("requires.txt").read_text()
    return {re.split(r"[<>=!\[; ]", line)[0].lower() for line in text.split("\n[")[0].splitlines() if line}


def test_what_a_worker_imports_is_required(unpacked: Path) -> None:
    """Every third party that the steps' packages import at their top is a requirement; TensorFlow is none."""
    required = requirements(unpacked)
    assert not required & {"tensorflow", "tensorflow-cpu", "keras", "pycocotools"}
    distributions = metadata.packages_distributions()
    missing = set()
    for path in [*(unpacked / "pipelines").rglob("*.py"), *(unpacked / "schemas").rglob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in {name.split(".")[0] for name in names} - {*OURS, *sys.stdlib_module_names}:
                owners = {owner.lower().replace("_", "-") for owner in distributions.get(name, [name])}
                if not owners & (required | {"grpcio"}):  # gRPC comes with Beam
                    missing.add(f"{path.relative_to(unpacked)} imports {name}")
    assert not missing


def test_the_staged_package_alone_loads_every_step_and_no_tensorflow(built: Built, unpacked: Path) -> None:
    """In a fresh interpreter, away from the checkout: what a worker does first."""
    payloads = []
    for name in ("read rows", "write shards"):
        payload = beam_runner_api_pb2.ParDoPayload.FromString(built.leaves()[name].spec.payload)
        payloads.append(payload.do_fn.payload)
    program = (
        "import sys; from apache_beam.internal import pickler; import pipelines\n"
        "print(pipelines.__file__)\n"
        "for data in {payloads!r}:\n"
        "    fn = pickler.loads(data)[0]; fn = getattr(fn, 'fn', fn); print(type(fn).__module__, type(fn).__name__)\n"
        "print(sorted({{n.split('.')[0] for n in sys.modules}} & {{'tensorflow', 'keras', 'detector'}}))"
    )
    words = [sys.executable, "-P", "-W", "ignore", "-c", program.format(payloads=payloads)]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=unpacked.parent, env={"PYTHONPATH": str(unpacked), "HOME": "/"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(unpacked / "pipelines" / "__init__.py"),
        "pipelines.exchange Deal",
        "pipelines.convert WriteShard",
        "[]",
    ]


def test_the_machines_and_the_image_are_those_of_the_command(built: Built) -> None:
    (pool,) = built.request.worker_pools
    words = dict(word.lstrip("-").split("=", 1) for word in documented_words())
    assert pool.machine_type == words["machine_type"]
    assert pool.autoscaling_settings.max_num_workers == int(words["max_num_workers"])
    assert sorted(package.name for package in pool.packages) == sorted(built.staged)
    (image,) = pool.sdk_harness_container_images
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert image.container_image.endswith(f"/beam_python{python}_sdk:{beam.__version__}")
    assert built.request.temp_storage_prefix.endswith("/some-bucket/tmp")
