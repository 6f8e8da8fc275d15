"""The Helm chart: linted and rendered by helm, held against Kubernetes' schemas, its settings read by the gateway."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubernetes_validate import validate
from ruamel.yaml import YAML

import proxy
from proxy.settings.sources import load
from tests.plugins.programs import found

pytestmark = pytest.mark.needs("helm")

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "thumb-proxy"
KUBERNETES = "1.34"
LEAST: dict[str, Any] = {
    "settings": {"cloudreve": {"url": "http://cloudreve:5212", "public_origins": ["https://cloud.example.com"]}},
    "seal": {"existingSecret": "seal"},
}
FULL: dict[str, Any] = {
    "settings": LEAST["settings"] | {"server": {"passthrough": True, "drain_s": 4, "shutdown_s": 15.5}},
    "seal": {"keys": ["k" * 32, "l" * 32]},
    "image": {"digest": f"sha256:{'0' * 64}"},
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "ingress": {"enabled": True, "host": "cloud.example.com", "tls": [{"hosts": ["cloud.example.com"]}]},
    "redis": {"enabled": False},
    "disk": {"maxBytes": 0},
}


def helm(folder: Path, verb: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    names = ["thumbs"] if verb == "template" else ["--strict"]
    command = [found("helm") or "helm", verb, *names, str(CHART), "--values", str(file), "--kube-version", KUBERNETES]
    environment = os.environ | {"HOME": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)  # noqa: S603 - our own


def rendered(folder: Path, values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Render it; give each object by its kind and name."""
    done = helm(folder, "template", values)
    assert done.returncode == 0, done.stderr
    objects = [each for each in YAML(typ="safe").load_all(done.stdout) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def container(objects: dict[tuple[str, str], Any]) -> Any:  # noqa: ANN401 - YAML
    return objects["Deployment", "thumbs-thumb-proxy"]["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("values", [LEAST, FULL], ids=["least", "full"])
def test_helm_and_kubernetes_accept_it(tmp_path: Path, values: dict[str, Any]) -> None:
    """Strictly: no field that Kubernetes does not know. A ServiceMonitor is no kind of Kubernetes' own."""
    done = helm(tmp_path, "lint", values)
    assert done.returncode == 0, done.stdout
    for (kind, _), each in rendered(tmp_path, values).items():
        if kind != "ServiceMonitor":
            validate(each, KUBERNETES, strict=True)


def test_each_part_is_there_when_it_is_asked_for(tmp_path: Path) -> None:
    """Gateways and their budget always; Redis unless it is elsewhere."""
    least = {kind for kind, _ in rendered(tmp_path, LEAST)}
    full = {kind for kind, _ in rendered(tmp_path, FULL)}
    always = {"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"}
    assert least == always | {"NetworkPolicy"}
    assert full == always | {"Secret", "HorizontalPodAutoscaler", "ServiceMonitor", "Ingress"}


@pytest.mark.parametrize("values", [LEAST, FULL], ids=["least", "full"])
def test_the_gateway_reads_what_the_chart_sets(
    tmp_path: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As environment and secret files; every variable is a setting that exists."""
    for variable in container(rendered(tmp_path, values))["env"]:
        value = variable["value"].replace("/var/cache/thumb-proxy", str(tmp_path))
        monkeypatch.setenv(variable["name"], value)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "seal__keys").write_text("\n".join(["k" * 32]))
    monkeypatch.setenv("THUMB_PROXY_SECRETS_DIR", str(secrets))
    settings = load(None)
    assert str(settings.cloudreve.url).startswith("http://cloudreve:5212")
    assert [key.get_secret_value() for key in settings.seal.keys] == ["k" * 32]
    is_full = values is FULL
    assert (settings.redis.url is None, settings.disk.path is None, settings.server.passthrough) == (is_full,) * 3


@pytest.mark.parametrize("values", [LEAST, FULL], ids=["least", "full"])
def test_a_pod_has_time_to_leave(tmp_path: Path, values: dict[str, Any]) -> None:
    """More than the gateway takes, and it drains for longer than the probe takes to notice."""
    server = LEAST["settings"].get("server", {"drain_s": 5, "shutdown_s": 20}) | values["settings"].get("server", {})
    pod = rendered(tmp_path, values)["Deployment", "thumbs-thumb-proxy"]["spec"]["template"]["spec"]
    probe = pod["containers"][0]["readinessProbe"]
    assert pod["terminationGracePeriodSeconds"] > server["drain_s"] + 2 * server["shutdown_s"]
    assert server["drain_s"] > probe["periodSeconds"] * probe["failureThreshold"]


def test_nothing_in_it_is_root_or_writes_elsewhere(tmp_path: Path) -> None:
    for (kind, _), each in rendered(tmp_path, LEAST).items():
        if kind == "Deployment":
            pod = each["spec"]["template"]["spec"]
            rights = pod["containers"][0]["securityContext"]
            assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"]) == (True, False)
            assert rights["readOnlyRootFilesystem"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seal": {}}, "seal.existingSecret"),
        ({"seal": {"keys": ["short"]}}, "keys"),
        ({"settings": {"cloudreve": {"url": "cloudreve:5212", "public_origins": ["https://a"]}}}, "url"),
        ({"settings": {"cloudreve": {"url": "http://cloudreve:5212", "public_origins": []}}}, "public_origins"),
        ({"replica": 3}, "replica"),
        ({"ingress": {"enabled": True}}, "ingress.host"),
    ],
)
def test_wrong_values_are_reported(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    done = helm(tmp_path, "template", LEAST | change)
    assert done.returncode != 0
    assert told in done.stderr


def test_the_chart_has_the_version_of_the_package() -> None:
    about = YAML(typ="safe").load((CHART / "Chart.yaml").read_text())
    assert (about["version"], about["appVersion"]) == (proxy.__version__, proxy.__version__)
