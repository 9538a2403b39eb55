"""Clusters of etcd for tests."""

import pytest
from etcd import Etcd


@pytest.fixture
def etcd(tmp_path):
    etcd = Etcd(tmp_path / "etcd")
    yield etcd.start()
    etcd.stop()


@pytest.fixture
def cluster(tmp_path):
    cluster = Etcd(tmp_path / "etcd", members=3)
    yield cluster.start()
    cluster.stop()
