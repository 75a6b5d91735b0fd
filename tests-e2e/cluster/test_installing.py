"""Tests that the documents install IMC, typed line by line."""

import re

import pytest
from deployment.code import ROOT

from cluster.installations import PROCESSES, RUNBOOK, Installation, typed

README = (ROOT / "deploy/k8s/README.md").read_text()


async def test_the_readme_installs_the_trial(installation: Installation):
    [block] = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    *lines, forward = block.splitlines()
    for line in lines:
        await installation.type(line)
    await installation.rolled_out()
    assert await installation.replicas() == dict.fromkeys(PROCESSES, 1)
    # What the last line forwards to is there.
    service = re.search(r"port-forward service/(\S+)", forward)
    assert service is not None
    assert len(await installation.addresses(service[1])) == 1


async def test_pods_do_not_start_without_the_secrets_of_the_readme(installation: Installation):
    await installation.type("kubectl apply -f deploy/k8s/base/namespace.yaml")
    await installation.apply("trial")
    line = "kubectl -n imc wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.reason}'"
    await installation.type(f"{line}=CreateContainerConfigError --timeout=2m pod --all")


@pytest.mark.parametrize("overlay", ["production-ingress", "production-gateway-api"])
async def test_the_guide_installs_production(installation: Installation, overlay: str):
    page = (RUNBOOK / "install-kubernetes.md").read_text()
    assert f"`{overlay}`" in page or overlay in typed("install-kubernetes", "kubectl apply -k")
    await installation.install(overlay)
    assert await installation.replicas() == dict.fromkeys(PROCESSES, 3)
    for process in PROCESSES:
        pods = await installation.pods(process)
        assert len({pod["spec"]["nodeName"] for pod in pods}) == 3, "they are spread"
    # The prefixes that lead to one push-node each.
    push_nodes = {pod["metadata"]["name"]: pod for pod in await installation.pods("push-node")}
    for name, pod in push_nodes.items():
        assert await installation.addresses(name) == [pod["status"]["podIP"]]
