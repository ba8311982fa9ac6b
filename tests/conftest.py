"""The reference data as a fixture, and quiet logs."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from hypothesis import settings

import detector  # noqa: F401  (chooses oneDNN, as for a command, before a test imports TensorFlow)
from tests.reference_data import shared_path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared():
    """The function `shared_path`."""
    return shared_path


@pytest.fixture(scope="module", autouse=True)
def _forgets_networks():
    """Keras keeps what every network was made of for as long as the process lives: gigabytes in a whole run."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
        gc.collect()
