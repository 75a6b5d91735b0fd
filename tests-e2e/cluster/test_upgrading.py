"""Tests that what is declared survives the next release."""

from typing import Any

from cluster.installations import PROCESSES, Installation, typed

OVERLAY = "deploy/k8s/overlays/production-ingress"
JOBS = "/apis/batch/v1/namespaces/imc/jobs"


async def images(installation: Installation) -> dict[str, str]:
    """The tag that each process runs."""
    return {
        name: each["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
        for name, each in (await installation.workloads()).items()
        if name in PROCESSES
    }


async def jobs(installation: Installation) -> dict[str, Any]:
    found = await installation.cluster.get(JOBS)
    return {job["metadata"]["name"]: job for job in found["items"]}


async def test_a_release_is_applied_at_once_over_an_older_one(installation: Installation):
    installation.release("7.8.1")
    await installation.install("production-ingress")
    await installation.type(typed("upgrade", "kubectl -n imc wait --for=condition=complete"))
    installation.release("7.8.2")
    await installation.apply("production-ingress")
    await installation.type(typed("upgrade", "kubectl -n imc wait --for=condition=complete"))
    await installation.rolled_out()
    assert set(await jobs(installation)) == {"migrate-7-8-1", "migrate-7-8-2"}
    assert await images(installation) == dict.fromkeys(PROCESSES, "7.8.2")


async def test_one_process_is_upgraded_alone(installation: Installation):
    installation.release("7.8.1")
    await installation.install("production-ingress")
    installation.release("7.8.2")
    await installation.type(typed("upgrade", "kubectl kustomize OVERLAY").replace("OVERLAY", OVERLAY))
    await installation.rolled_out()
    assert await images(installation) == {**dict.fromkeys(PROCESSES, "7.8.1"), "projector": "7.8.2"}


async def test_a_job_that_changes_within_a_version_is_deleted_first(installation: Installation):
    await installation.install("production-ingress")
    installation.replace("base/migrate.yaml", 'value: "300"', 'value: "301"')
    assert "field is immutable" in await installation.refused(f"kubectl apply -k {OVERLAY}")
    await installation.type(typed("upgrade", "kubectl -n imc delete job"))
    await installation.apply("production-ingress")
    assert len(await jobs(installation)) == 1
