"""The deployment files hold together: valid, pinned, whole, confined, and without a secret inside.

No container engine is needed, and none was used: what these tests cannot see is whether the images build.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yaml"
DOCKERFILE = ROOT / "Dockerfile"

AIRFLOW = {
    "airflow-apiserver": ["api-server"],
    "airflow-scheduler": ["scheduler"],
    "airflow-dag-processor": ["dag-processor"],
    "airflow-triggerer": ["triggerer"],
    "airflow-worker": ["celery", "worker"],
}
SERVERS = {"postgres", "redis", *AIRFLOW}
SECRETS = {
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_SESSION_SECRET",
    "AIRFLOW_ADMIN_PASSWORD",
}
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z_]+)(?P<rest>:[-?][^}]*)?\}")

TEXT = {"type": "string"}
WORDS = {"type": "array", "items": TEXT, "minItems": 1}
DURATION = {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$"}
CONDITIONS = ["service_started", "service_healthy", "service_completed_successfully"]


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


# What this project uses of https://github.com/compose-spec/compose-spec/blob/main/schema/compose-spec.json.
SERVICE = closed(
    {
        "image": TEXT,
        "build": closed({"context": TEXT, "dockerfile": TEXT}),
        "init": {"type": "boolean"},
        "user": {"type": "string", "pattern": r"^\d+:\d+$"},
        "entrypoint": WORDS,
        "command": WORDS,
        "environment": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": "^[^:]+(:-[^:]+)?:/[^:]+$"}},
        "ports": {"type": "array", "items": TEXT},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "logging": closed({"driver": TEXT, "options": {"type": "object", "additionalProperties": TEXT}}),
        "security_opt": WORDS,
        "cap_drop": WORDS,
        "stop_grace_period": DURATION,
        "healthcheck": closed(
            {
                "test": {**WORDS, "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}]},
                "interval": DURATION,
                "timeout": DURATION,
                "retries": {"type": "integer", "minimum": 1},
                "start_period": DURATION,
                "start_interval": DURATION,
                "disable": {"type": "boolean"},
            }
        ),
        "depends_on": {
            "type": "object",
            "additionalProperties": closed({"condition": {"enum": CONDITIONS}}, required=["condition"]),
        },
    },
    required=["image", "environment", "healthcheck", "restart"],
)
SCHEMA = closed(
    {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": {"type": "object", "patternProperties": {"^[a-z][a-z-]*$": SERVICE}, "additionalProperties": False},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
    patternProperties={"^x-": {}},
    required=["name", "services", "volumes"],
)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def services(compose) -> dict[str, dict[str, Any]]:
    return compose["services"]


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_it_follows_the_compose_specification(compose):
    jsonschema.Draft202012Validator(SCHEMA).validate(compose)


def test_a_misspelt_key_would_be_seen(compose):
    wrong = {**compose, "services": {"redis": {**compose["services"]["redis"], "helthcheck": {}}}}
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        jsonschema.Draft202012Validator(SCHEMA).validate(wrong)


def test_every_process_of_the_topology_is_there(services):
    assert set(services) == SERVERS | {"airflow-init"}
    for name, command in AIRFLOW.items():
        assert services[name]["command"][: len(command)] == command


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_every_server_is_checked_and_restarted(services, name):
    assert services[name]["restart"] == "unless-stopped"
    assert len(services[name]["healthcheck"]["test"]) > 1


def test_each_health_check_asks_its_own_process(services):
    asks = {name: " ".join(services[name]["healthcheck"]["test"]) for name in SERVERS}
    assert "/api/v2/monitor/health" in asks["airflow-apiserver"]
    assert ":8974/health" in asks["airflow-scheduler"]
    assert services["airflow-scheduler"]["environment"]["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "True"
    assert "--job-type DagProcessorJob --local" in asks["airflow-dag-processor"]
    assert "--job-type TriggererJob --local" in asks["airflow-triggerer"]
    assert "inspect ping" in asks["airflow-worker"]


def test_init_runs_once_and_everything_waits_for_it(services):
    assert services["airflow-init"]["restart"] == "no"
    for name in AIRFLOW:
        needs = services[name]["depends_on"]
        assert needs["airflow-init"]["condition"] == "service_completed_successfully"
        assert needs["postgres"]["condition"] == needs["redis"]["condition"] == "service_healthy"
    assert services["airflow-worker"]["depends_on"]["airflow-apiserver"]["condition"] == "service_healthy"


def test_images_are_pinned(services, dockerfile):
    images = {service["image"] for service in services.values()}
    images |= {line.split()[1] for line in dockerfile if line.startswith("FROM ")}
    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[a-z-]+:\d+\.\d+(\.\d+)?(-[a-z-]+)?(@sha256:[0-9a-f]{64})?", image), image


def test_ports_are_open_on_loopback_only(services):
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(ports) == ["airflow-apiserver"]
    assert all(port.startswith("127.0.0.1:") for port in ports["airflow-apiserver"])


def test_secrets_come_from_the_environment_and_have_no_default():
    text = COMPOSE.read_text(encoding="utf-8")
    used = {match["name"]: match["rest"] or "" for match in VARIABLE.finditer(text)}
    assert used.keys() >= SECRETS
    assert {name: used[name][:2] for name in SECRETS} == dict.fromkeys(SECRETS, ":?")
    assert not [name for name in used if re.search("PASSWORD|SECRET|KEY|TOKEN", name) and name not in SECRETS]


def test_no_secret_value_stands_in_the_file(services):
    for name, service in services.items():
        for variable, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|_KEY|TOKEN|AUTH$", variable):
                assert VARIABLE.fullmatch(str(value)), f"{name}: {variable}"
    bare = VARIABLE.sub("", COMPOSE.read_text(encoding="utf-8"))
    assert not re.search(r"://[^/\s]*:[^/\s@]+@", bare), "a password inside a URL"
    assert not [
        word for word in re.findall(r"[\w/+=-]{32,}", bare) if re.search("[a-z]", word) and re.search(r"\d", word)
    ]


def test_the_example_names_every_variable_and_gives_no_secret():
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(example) == {match["name"] for match in VARIABLE.finditer(COMPOSE.read_text(encoding="utf-8"))}
    assert not [name for name in SECRETS if example[name]]


def test_all_airflow_processes_share_environment_image_and_home(services):
    first = services["airflow-scheduler"]
    for name in AIRFLOW:
        assert services[name]["environment"] == first["environment"]
        assert services[name]["volumes"] == first["volumes"]
        assert services[name]["image"] == first["image"]
    assert first["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert first["environment"]["CROSSDOMAIN_HOME"] == first["volumes"][0].rpartition(":")[2]


def test_named_volumes_are_declared(compose, services):
    named = {
        volume.rpartition(":")[0].removeprefix("${CROSSDOMAIN_HOST_HOME:-").removesuffix("}")
        for service in services.values()
        for volume in service.get("volumes", [])
    }
    assert named == set(compose["volumes"])


def test_nothing_but_the_databases_entrypoint_runs_as_root(services, dockerfile):
    assert [line for line in dockerfile if line.startswith("USER ")] == ["USER 10001:10001"]
    assert dockerfile.index("USER 10001:10001") > max(i for i, line in enumerate(dockerfile) if line.startswith("RUN "))
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"]
            assert not service["user"].startswith("0")


def test_the_image_takes_the_locked_requirements_and_no_secret(dockerfile):
    text = "\n".join(dockerfile)
    assert "pip install --requirement /build/requirements.txt" in text
    assert "pip install --no-deps /build" in text
    assert not re.search("PASSWORD|SECRET|FERNET|TOKEN", text)
    assert "ADD " not in text


def test_the_build_context_is_a_list_of_what_is_needed(dockerfile):
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for line in dockerfile
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert "*" in ignore
    assert let_in == copied


def test_the_celery_executor_loads_with_the_locked_requirements():
    module = "airflow.providers.celery.executors.celery_executor"
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
