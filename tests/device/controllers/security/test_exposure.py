"""What has to be there before something listens for other machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.self_signed import write_certificate

from edge_ad.controllers.security import check_certificate, check_exposure
from edge_ad.errors import InputError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_loopback_needs_nothing(host: str) -> None:
    check_exposure(host, None, None, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "station-1"])  # noqa: S104
def test_another_host_needs_all_three(host: str) -> None:
    check_exposure(host, "a.pem", "a.key", "tokens.toml")
    with pytest.raises(InputError, match="certificate, key, tokens missing"):
        check_exposure(host, None, None, None)
    with pytest.raises(InputError, match="tokens missing"):
        check_exposure(host, "a.pem", "a.key", None)


def test_certificate_and_key_belong_together() -> None:
    with pytest.raises(InputError, match="belong together"):
        check_exposure("127.0.0.1", "a.pem", None, None)


def test_a_good_certificate(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    check_certificate(str(certificate), str(key))


def test_one_that_ends_soon_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate, key = write_certificate(tmp_path, days=3)
    check_certificate(str(certificate), str(key))
    assert "get a new one before" in caplog.text


def test_each_wrong_file_is_one_clear_line(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    other = write_certificate(tmp_path, "other")
    expired = write_certificate(tmp_path, "expired", begins=-10, days=-1)
    later = write_certificate(tmp_path, "later", begins=2)
    open_key = write_certificate(tmp_path, "open")[1]
    open_key.chmod(0o644)
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    nothing.chmod(0o600)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for pair, said in (
        ((certificate, other[1]), "does not belong to certificate"),
        (expired, "expired on"),
        (later, "is valid from"),
        ((certificate, open_key), "chmod 600"),
        ((nothing, key), "expected a certificate in PEM"),
        ((certificate, nothing), "expected a private key in PEM"),
        ((tmp_path / "missing", key), "cannot be read: No such file"),
        ((certificate, tmp_path / "missing"), "cannot be read: No such file"),
        ((key, certificate), "expected a certificate in PEM"),
        ((pipe, key), "expected a file, found a pipe or a device"),
        ((Path("/dev/zero"), key), "expected a file, found a pipe or a device"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            check_certificate(str(pair[0]), str(pair[1]))
        assert "\n" not in str(caught.value)
