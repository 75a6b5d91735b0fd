"""Tests of the manifests on a real node: a kubelet, containerd, and images of ours."""
