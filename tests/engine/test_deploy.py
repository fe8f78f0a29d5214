"""The files in deploy/ray say what Ray and the command line know."""

import shlex
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
FOLDER = Path(__file__).parents[2] / "deploy" / "ray"


def test_the_launcher_takes_the_cluster_file() -> None:
    ray = pytest.importorskip("ray", reason="the engine of many machines comes with the extra ray")
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((FOLDER / "cluster.yaml").read_text(encoding="utf-8"))
    validate_config(prepare_config(config))  # as `ray up` does
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text(encoding="utf-8"))
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__


def options_of(verb: str) -> set[str]:
    import typer

    from lookalike.cli.main import app

    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    return {name for parameter in command.params for name in parameter.opts}


def test_the_server_has_room_for_its_shards() -> None:
    job, service = yaml.safe_load_all((FOLDER / "serve.yaml").read_text(encoding="utf-8"))
    program, verb, *words = shlex.split(job["spec"]["entrypoint"])
    assert (job["kind"], program, verb) == ("RayJob", "lookalike", "serve")
    values = dict(zip(words[::2], words[1::2], strict=True))
    assert values.keys() <= options_of("serve")
    spec = job["spec"]["rayClusterSpec"]
    (group,) = spec["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    cores = group["replicas"] * int(container["resources"]["requests"]["cpu"])
    assert cores == int(values["--shards"]) * int(values["--replicas"])
    head = spec["headGroupSpec"]["template"]
    assert head["metadata"]["labels"] == service["spec"]["selector"]
    assert service["spec"]["ports"][0]["targetPort"] == int(values["--port"])
    mounts = {mount["mountPath"] for mount in head["spec"]["containers"][0]["volumeMounts"]}
    assert values["--token-file"].rpartition("/")[0] in mounts


def test_the_job_runs_a_command_that_exists() -> None:
    job: dict[str, Any] = yaml.safe_load((FOLDER / "kuberay.yaml").read_text(encoding="utf-8"))
    program, verb, *words = shlex.split(job["spec"]["entrypoint"])
    assert (job["kind"], program, verb) == ("RayJob", "lookalike", "index")
    assert {word for word in words if word.startswith("-")} <= options_of("index")
    spec = job["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "lookalike-store"}}]
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_store_has_what_the_workers_ask_for() -> None:
    parts = list(yaml.safe_load_all((FOLDER / "minio.yaml").read_text(encoding="utf-8")))
    secret = next(part for part in parts if part["kind"] == "Secret")
    service = next(part for part in parts if part["kind"] == "Service")
    assert secret["metadata"]["name"] == "lookalike-store"
    assert (
        secret["stringData"]["AWS_ENDPOINT"]
        == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    )
