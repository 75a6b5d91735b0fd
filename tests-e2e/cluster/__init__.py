"""Tests of the manifests on a real control plane, with nodes that are made up."""
