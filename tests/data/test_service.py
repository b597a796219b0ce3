"""Tests of asking a tf.data service for its workers."""

import pytest

from pose_tf.data.service import count_workers


@pytest.mark.parametrize("workers", [0, 2])
def test_the_workers_of_a_service_are_counted(service, workers):
    assert count_workers(service(workers)) == workers
