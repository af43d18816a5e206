"""The chart, without a cluster: rendered by Helm's own library, checked against the schemas of
Kubernetes, and held to the house's rules.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from api.settings import Settings

CHART = Path(__file__).parents[1] / "helm" / "tunery"
# The oldest that Chart.yaml admits, and the newest whose schemas we have.
KUBERNETES_VERSIONS = ("1.29", "1.37")
OUR_SETTINGS = {name.upper() for name in Settings.model_fields}
OWN_SECRETS = {
    name: f"{name.lower()}-value"
    for name in (
        "DATABASE_URL",
        "DATABASE_SYSTEM_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
        "S3_ACCESS_KEY",
        "S3_SECRET_KEY",
    )
}
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "gpu": yaml.safe_load((CHART / "examples" / "gpu.yaml").read_text()),
    "own secrets": {
        "secrets": {"existing": "", "values": OWN_SECRETS},
        "serviceAccount": {"create": False},
        "networkPolicy": {"enabled": True},
        "api": {"ingress": {"enabled": True}},
    },
}

with_each = pytest.mark.parametrize("case", VALUES)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@with_each
def test_every_manifest_is_valid(case: str, version: str) -> None:
    for manifest in _manifests(case):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_linter_finds_no_more_than_the_missing_icon() -> None:
    found = [message["error"] for message in helm.lint(str(CHART))["messages"]]
    assert found == ["icon is recommended"]


@with_each
def test_pods_run_without_root_rights_or_a_writable_image(case: str) -> None:
    for name, pod in _pods(case).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(mounted) == {volume["name"] for volume in pod["volumes"]}, name
        assert mounted["tmp"] == "/tmp", name


@with_each
def test_images_are_tagged_and_resources_bounded(case: str) -> None:
    for name, pod in _pods(case).items():
        (container,) = pod["containers"]
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        assert tag, name
        assert "latest" not in tag, name
        assert container["resources"]["requests"], name
        assert container["resources"]["limits"]["memory"], name


@with_each
def test_pods_get_only_settings_that_exist_and_no_login_but_their_own(case: str) -> None:
    for config in _of_kind(case, "ConfigMap"):
        assert set(config["data"]) <= OUR_SETTINGS
    logins = {"api": "DATABASE_URL", "migrate": "DATABASE_OWNER_URL", "beat": None}
    for name, pod in _pods(case).items():
        names = {variable["name"] for variable in pod["containers"][0]["env"]}
        assert names <= OUR_SETTINGS, name
        login = logins.get(name, "DATABASE_SYSTEM_URL")
        assert {n for n in names if n.startswith("DATABASE")} == ({login} if login else set()), name


@with_each
def test_the_migration_runs_before_anything_of_the_release_exists(case: str) -> None:
    (job,) = _of_kind(case, "Job")
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["tunery", "migrate"]
    assert "serviceAccountName" not in pod
    earlier = {
        (manifest["kind"], manifest["metadata"]["name"])
        for manifest in _manifests(case)
        if int(manifest["metadata"].get("annotations", {}).get("helm.sh/hook-weight", "0")) < 0
    }
    (source,) = container["envFrom"]
    assert ("ConfigMap", source["configMapRef"]["name"]) in earlier
    existing = VALUES[case].get("secrets", {}).get("existing", "tunery-secrets")
    for variable in container["env"]:
        secret = variable["valueFrom"]["secretKeyRef"]["name"]
        assert secret == existing or ("Secret", secret) in earlier


@with_each
def test_there_is_one_beat_and_never_two(case: str) -> None:
    (beat,) = (d for d in _of_kind(case, "Deployment") if _component(d) == "beat")
    assert beat["spec"]["replicas"] == 1
    assert beat["spec"]["strategy"] == {"type": "Recreate"}


@with_each
def test_every_queue_has_a_worker_that_gets_time_to_save(case: str) -> None:
    queues: set[str] = set()
    for name, pod in _pods(case).items():
        if name.startswith("worker-"):
            command = pod["containers"][0]["command"]
            queues |= set(command[command.index("-Q") + 1].split(","))
            assert pod["terminationGracePeriodSeconds"] >= 120, name
            assert "livenessProbe" in pod["containers"][0], name
    assert queues == {"train", "cpu", "chat"}


@with_each
def test_the_api_is_probed_spread_and_not_drained_to_nothing(case: str) -> None:
    (container,) = _pods(case)["api"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert {"startupProbe", "livenessProbe"} <= set(container)
    (service,) = _of_kind(case, "Service")
    (budget,) = _of_kind(case, "PodDisruptionBudget")
    (api,) = (d for d in _of_kind(case, "Deployment") if _component(d) == "api")
    selector = api["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"] == selector
    assert budget["spec"]["selector"]["matchLabels"] == selector
    assert budget["spec"]["minAvailable"] < api["spec"]["replicas"]


@with_each
def test_selectors_tell_deployments_apart(case: str) -> None:
    deployments = _of_kind(case, "Deployment")
    selectors = [tuple(sorted(d["spec"]["selector"]["matchLabels"].items())) for d in deployments]
    assert len(set(selectors)) == len(deployments)
    for deployment in deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_gpu_workers_ask_for_their_class_and_keep_their_cache_on_its_disk() -> None:
    pods = _pods("gpu")
    for name in ("worker-train-h100", "worker-train-l4", "worker-chat"):
        pod = pods[name]
        (container,) = pod["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["image"].endswith("-cuda")
        assert pod["runtimeClassName"] == "nvidia"
        (cache_volume,) = (v for v in pod["volumes"] if v["name"] == "cache")
        claim = cache_volume["ephemeral"]["volumeClaimTemplate"]["spec"]
        assert claim["storageClassName"] == "local-nvme"
    assert "nvidia.com/gpu" not in pods["worker-cpu"]["containers"][0]["resources"]["limits"]
    products = {pods[f"worker-train-{kind}"]["nodeSelector"].popitem() for kind in ("h100", "l4")}
    assert len(products) == 2


def test_the_network_policy_opens_the_api_alone() -> None:
    api, closed = _of_kind("gpu", "NetworkPolicy")
    assert api["spec"]["ingress"][0]["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert closed["spec"]["ingress"] == []
    assert closed["spec"]["podSelector"]["matchExpressions"][0]["values"] == ["api"]


@with_each
def test_a_secret_of_the_chart_holds_what_was_given_and_else_there_is_none(case: str) -> None:
    secrets = {s["metadata"]["name"]: s["stringData"] for s in _of_kind(case, "Secret")}
    if case == "own secrets":
        assert secrets["demo-tunery"] == OWN_SECRETS
        assert set(secrets["demo-tunery-migrate"]) == {
            "DATABASE_OWNER_URL",
            "S3_ACCESS_KEY",
            "S3_SECRET_KEY",
        }
    else:
        assert secrets == {}


def test_a_missing_secret_is_named_before_anything_is_installed() -> None:
    values = {"secrets": {"existing": "", "values": OWN_SECRETS | {"REDIS_URL": ""}}}
    with pytest.raises(helm.HelmError, match=r"secrets\.values\.REDIS_URL is missing"):
        _render(values)


@pytest.mark.parametrize(
    "values",
    [
        {"aip": {"replicas": 3}},
        {"api": {"replicas": 0}},
        {"image": {"worker": {"repository": "tunery-worker", "tag": "latest"}}},
        {"settings": {"log-level": "info"}},
        {"workers": []},
        {"workers": [{"name": "x", "queues": ["eval"]}]},
    ],
    ids=str,
)
def test_the_schema_refuses(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError):
        _render(values)


def _render(values: dict[str, Any]) -> dict[str, str]:
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        rendered: dict[str, str] = chart.render(values, name="demo", namespace="tunery")
    return rendered


@cache
def _texts(case: str) -> list[str]:
    rendered = _render(VALUES[case])
    return [text for path, text in rendered.items() if not path.endswith("NOTES.txt")]


def _manifests(case: str) -> list[dict[str, Any]]:
    documents = (document for text in _texts(case) for document in yaml.safe_load_all(text))
    return [document for document in documents if document]


def _of_kind(case: str, kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in _manifests(case) if manifest["kind"] == kind]


def _component(manifest: dict[str, Any]) -> str:
    name: str = manifest["metadata"]["name"]
    return re.sub(r"^demo-tunery-", "", name)


def _pods(case: str) -> dict[str, dict[str, Any]]:
    """The pod of each Deployment and Job, by what the manifest's name says it does."""
    kinds = ("Deployment", "Job")
    return {
        _component(m): m["spec"]["template"]["spec"] for m in _manifests(case) if m["kind"] in kinds
    }
