"""Manifests mean what they say, or are refused."""

import pytest

from local.providers.kubernetes.manifests import decode
from local.providers.provider import CloudError


def test_a_key_that_stands_twice_is_refused_with_its_line():
    with pytest.raises(CloudError, match=r"(?s)'replicas' stands twice.*line 4"):
        decode("apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 1,\n  replicas: 2}\n", None)


def test_a_document_that_is_no_object_is_refused():
    with pytest.raises(CloudError, match="no object of Kubernetes"):
        decode("just text\n", None)


def test_anchors_may_be_merged_and_overridden():
    text = "apiVersion: v1\nkind: ConfigMap\nx: &a {b: 1, c: 2}\ndata: {<<: *a, c: 3}\n"
    assert decode(text, None)[0]["data"] == {"b": 1, "c": 3}
