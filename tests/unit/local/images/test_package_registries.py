"""A build reaches package registries as this machine does."""

import shlex
import subprocess

import pytest

from local.images import ImageError
from local.images.package_registries import CERTIFICATES, SETTINGS, package_settings, write_secrets


@pytest.fixture
def environment(tmp_path):
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


def test_variables_of_uv_and_pip_are_passed_on_and_no_others(environment):
    variables = environment | {
        "UV_DEFAULT_INDEX": "https://packages.test/a",
        "PIP_RETRIES": "2",
        "UV_CACHE_DIR": "/c",
        "TOKEN": "x",
    }
    assert package_settings(variables) == {
        "UV_DEFAULT_INDEX": "https://packages.test/a",
        "PIP_RETRIES": "2",
    }


def test_settings_for_pip_alone_count_for_uv_too(environment):
    for_pip = package_settings(environment | {"PIP_INDEX_URL": "https://packages.test/p"})
    assert for_pip["UV_DEFAULT_INDEX"] == "https://packages.test/p"
    both = package_settings(environment | {"PIP_INDEX_URL": "https://p.test", "UV_DEFAULT_INDEX": "https://u.test"})
    assert both["UV_DEFAULT_INDEX"] == "https://u.test"
    old = package_settings(environment | {"PIP_INDEX_URL": "https://p.test", "UV_INDEX_URL": "https://u.test"})
    assert "UV_DEFAULT_INDEX" not in old


def test_pips_own_files_count_and_variables_win(environment, tmp_path):
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://file.test/%(odd)s\nextra-index-url =\n  https://one.test\n  https://two.test\n"
    )
    package_variables = package_settings(environment)
    assert package_variables["PIP_INDEX_URL"] == "https://file.test/%(odd)s"
    assert package_variables["UV_EXTRA_INDEX_URL"] == "https://one.test https://two.test"
    assert package_settings(environment | {"PIP_INDEX_URL": "https://v.test"})["PIP_INDEX_URL"] == "https://v.test"


def test_a_file_of_pip_that_cannot_be_read_is_named(environment, tmp_path):
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("no section\n")
    with pytest.raises(ImageError, match=r"pip\.conf"):
        package_settings(environment)


def test_a_shell_reads_the_secrets_as_they_were_meant(environment, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificates")
    value = "https://user:pa'ss $word@packages.test/a"
    secrets = write_secrets(tmp_path / "s", environment | {"UV_DEFAULT_INDEX": value, "SSL_CERT_FILE": str(bundle)})
    assert secrets[CERTIFICATES] == bundle
    script = f'. {shlex.quote(str(secrets[SETTINGS]))}; printf "%s|%s" "$UV_DEFAULT_INDEX" "$SSL_CERT_FILE"'
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True, env={})
    assert done.stdout == f"{value}|/run/secrets/{CERTIFICATES}"
    assert secrets[SETTINGS].stat().st_mode & 0o077 == 0


def test_a_user_without_settings_gets_the_defaults(environment):
    assert package_settings(environment) == {}
