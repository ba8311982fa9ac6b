"""The folder of darknet's numbers: every case in it is of a kind that tests run."""

from __future__ import annotations

from tests.reference_data import kind_of


def test_every_folder_of_the_oracle_is_taken_up(shared):
    folders = [path for path in shared("oracle").iterdir() if path.is_dir()]
    assert folders
    assert [folder.name for folder in folders if kind_of(folder) is None] == []
