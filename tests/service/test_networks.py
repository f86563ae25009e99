import ipaddress

import pytest

from cellserve.service.networks import address_of, contains, parsed_networks


def test_networks_are_written_by_commas() -> None:
    assert parsed_networks("") == parsed_networks("  ") == ()
    networks = parsed_networks("172.16.0.0/12, 10.1.2.3,fd00::/8")
    assert list(map(str, networks)) == ["172.16.0.0/12", "10.1.2.3/32", "fd00::/8"]


@pytest.mark.parametrize("text", ["host", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8,", "10.0.0"])
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no network .* written like 172\.16\.0\.0/12"):
        parsed_networks(text)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("172.17.0.1", True), ("172.32.0.1", False), ("::ffff:172.17.0.1", True), ("[fd00::5]", True), ("fd00::5%eth0", True),
        ("fe80::1", False), ("127.0.0.1", False), ("", False), ("localhost", False),
    ],
)  # fmt: skip
def test_addresses_are_in_them_or_not(host: str, inside: bool) -> None:
    assert contains(parsed_networks("172.16.0.0/12,fd00::/8"), host) is inside


def test_an_address_of_version_4_may_be_written_as_one_of_version_6() -> None:
    assert address_of("::ffff:10.0.0.1") == ipaddress.ip_address("10.0.0.1")
    assert address_of("nowhere") is None
