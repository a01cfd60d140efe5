"""URLs from servers: what is rebuilt on our base, what is foreign."""

import pytest

from emr.wire.errors import NeverAgain
from emr.wire.origins import parse, parse_base, public_address, rebase, under_base

BASE = "https://fhir4.healow.com/fhir/r4/AAAAAA"
ALIASES = frozenset({"fhir4.healow.com", "fhir4.eclinicalworks.com"})

HOSTILE = {
    "another host": "https://evil.example/fhir/r4/AAAAAA/Patient?x=1",
    "host with our name in front": "https://fhir4.healow.com.evil.example/fhir/r4/AAAAAA/Patient",
    "host with our name behind": "https://evilfhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "subdomain of our host": "https://x.fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "parent domain": "https://healow.com/fhir/r4/AAAAAA/Patient",
    "host with a dot at the end": "https://fhir4.healow.com./fhir/r4/AAAAAA/Patient",
    "host with two dots": "https://fhir4..healow.com/fhir/r4/AAAAAA/Patient",
    "our host as user": "https://fhir4.healow.com@evil.example/fhir/r4/AAAAAA/Patient",
    "our host as user and password": "https://fhir4.healow.com:443@evil.example/fhir/r4/AAAAAA/Patient",
    "user before our host": "https://evil.example@fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "empty user": "https://@fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "backslash before @": "https://fhir4.healow.com\\@evil.example/fhir/r4/AAAAAA/Patient",
    "backslash as slash": "https:\\\\evil.example\\fhir\\r4\\AAAAAA\\Patient",
    "backslash in the path": "https://fhir4.healow.com/fhir/r4/AAAAAA\\..\\BBBBBB/Patient",
    "fragment before @": "https://evil.example#@fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "fragment": "https://fhir4.healow.com/fhir/r4/AAAAAA/Patient#x",
    "question mark ends the host": "https://evil.example?@fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "network path": "//evil.example/fhir/r4/AAAAAA/Patient",
    "three slashes": "https:///evil.example/fhir/r4/AAAAAA/Patient",
    "four slashes": "////evil.example/fhir/r4/AAAAAA/Patient",
    "one slash": "https:/evil.example/fhir/r4/AAAAAA/Patient",
    "no slash": "https:evil.example/fhir/r4/AAAAAA/Patient",
    "scheme javascript": "javascript:alert(1)",
    "scheme file": "file:///etc/passwd",
    "scheme ftp": "ftp://fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "scheme gopher": "gopher://fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "scheme data": "data:application/json,{}",
    "scheme ws": "wss://fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "another practice": "https://fhir4.healow.com/fhir/r4/BBBBBB/Patient",
    "practice code continued": "https://fhir4.healow.com/fhir/r4/AAAAAAB/Patient",
    "practice code in small letters": "https://fhir4.healow.com/fhir/r4/aaaaaa/Patient",
    "practice code escaped": "https://fhir4.healow.com/fhir/r4/%41AAAAA/Patient",
    "base path in small letters": "https://fhir4.healow.com/FHIR/r4/AAAAAA/Patient",
    "no practice code": "https://fhir4.healow.com/fhir/r4/Patient",
    "host root": "https://fhir4.healow.com/",
    "host without a path": "https://fhir4.healow.com",
    "base path further down": "https://fhir4.healow.com/x/fhir/r4/AAAAAA/Patient",
    "double slash before the base path": "https://fhir4.healow.com//fhir/r4/AAAAAA/Patient",
    "step up": "https://fhir4.healow.com/fhir/r4/AAAAAA/../BBBBBB/Patient",
    "step up at the end": "https://fhir4.healow.com/fhir/r4/AAAAAA/..",
    "step up and back": "https://fhir4.healow.com/fhir/r4/BBBBBB/../AAAAAA/Patient",
    "step up, relative": "../BBBBBB/Patient",
    "step up, absolute path": "/fhir/r4/AAAAAA/../BBBBBB/Patient",
    "single dot": "https://fhir4.healow.com/fhir/r4/AAAAAA/./Patient",
    "escaped step up": "https://fhir4.healow.com/fhir/r4/AAAAAA/%2e%2e/BBBBBB/Patient",
    "escaped step up, capitals": "https://fhir4.healow.com/fhir/r4/AAAAAA/%2E%2E/BBBBBB/Patient",
    "half escaped step up": "https://fhir4.healow.com/fhir/r4/AAAAAA/.%2e/BBBBBB/Patient",
    "escaped slash": "https://fhir4.healow.com/fhir/r4/AAAAAA%2fPatient",
    "escaped slashes after a step": "https://fhir4.healow.com/fhir/r4/AAAAAA/..%2fBBBBBB",
    "escaped backslash": "https://fhir4.healow.com/fhir/r4/AAAAAA/..%5cBBBBBB",
    "twice escaped step up": "https://fhir4.healow.com/fhir/r4/AAAAAA/%252e%252e/BBBBBB",
    "overlong UTF-8 step up": "https://fhir4.healow.com/fhir/r4/AAAAAA/%c0%ae%c0%ae/BBBBBB",
    "path parameter step up": "https://fhir4.healow.com/fhir/r4/AAAAAA/..;/BBBBBB/Patient",
    "path parameter": "https://fhir4.healow.com/fhir/r4/AAAAAA/Patient;jsessionid=1",
    "escaped semicolon": "https://fhir4.healow.com/fhir/r4/AAAAAA/..%3b/BBBBBB",
    "escaped zero byte": "https://fhir4.healow.com/fhir/r4/AAAAAA/Patient%00",
    "escaped line break": "https://fhir4.healow.com/fhir/r4/AAAAAA/Patient%0d%0aX: y",
    "broken escape": "https://fhir4.healow.com/fhir/r4/AAAAAA/%zz",
    "line break in the query": "https://fhir4.healow.com/fhir/r4/AAAAAA/Patient?a=1\r\nX-Evil: 1",
    "line break in the host": "https://fhir4.healow.com\r\n.evil.example/fhir/r4/AAAAAA/Patient",
    "tab in the scheme": "ht\ttps://evil.example/fhir/r4/AAAAAA/Patient",
    "zero byte": "https://fhir4.healow.com\x00.evil.example/fhir/r4/AAAAAA/Patient",
    "space before": " https://evil.example/fhir/r4/AAAAAA/Patient",
    "space in the host": "https://fhir4.healow.com /fhir/r4/AAAAAA/Patient",
    "space in the path": "https://fhir4.healow.com/fhir/r4/AAAAAA/Pat ient",
    "C1 control character": "https://fhir4.healow.com/fhir/r4/AAAAAA/Patient?a=\x85",
    "full-width letters": "https://ｆhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "ideographic full stop": "https://fhir4。healow。com/fhir/r4/AAAAAA/Patient",
    "Kelvin sign": "https://fhir4.healo\u212a.com/fhir/r4/AAAAAA/Patient",
    "full-width slash": "https://evil.example／fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "non-ASCII path": "https://fhir4.healow.com/fhir/r4/AAAAAA/Patiént",
    "escaped host": "https://%66hir4.healow.com/fhir/r4/AAAAAA/Patient",
    "port of five nines": "https://fhir4.healow.com:99999/fhir/r4/AAAAAA/Patient",
    "port zero": "https://fhir4.healow.com:0/fhir/r4/AAAAAA/Patient",
    "port that is a word": "https://fhir4.healow.com:https/fhir/r4/AAAAAA/Patient",
    "port in other digits": "https://fhir4.healow.com:４４３/fhir/r4/AAAAAA/Patient",
    "loopback": "http://127.0.0.1/fhir/r4/AAAAAA/Patient",
    "loopback, IPv6": "http://[::1]/fhir/r4/AAAAAA/Patient",
    "loopback as a number": "http://2130706433/fhir/r4/AAAAAA/Patient",
    "metadata service": "http://169.254.169.254/latest/meta-data",
    "broken brackets": "https://[fhir4.healow.com/fhir/r4/AAAAAA/Patient",
    "empty": "",
    "only a question mark and a foreign scheme": "mailto:?x",
}


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE.keys())
def test_rebase_refuses(url: str) -> None:
    with pytest.raises(NeverAgain) as refused:
        rebase(url, BASE, ALIASES)
    assert refused.value.code == "FHIR_LINK_FOREIGN"


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE.keys())
def test_under_base_refuses(url: str) -> None:
    assert not under_base(url, BASE)


def test_hostile_table_is_long_enough() -> None:
    assert len(set(HOSTILE.values())) >= 60


REBASED = {
    "as it should be": (f"{BASE}/Condition?patient=1&page=2", f"{BASE}/Condition?patient=1&page=2"),
    "plain http on the other host": (
        "http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Condition?patient=1",
        f"{BASE}/Condition?patient=1",
    ),
    "capitals in scheme and host": ("HTTPS://FHIR4.Healow.COM/fhir/r4/AAAAAA/Condition", f"{BASE}/Condition"),
    "odd port": ("https://fhir4.healow.com:8443/fhir/r4/AAAAAA/Condition?x", f"{BASE}/Condition?x"),
    "port written twice": ("https://fhir4.healow.com:443:443/fhir/r4/AAAAAA/Condition", f"{BASE}/Condition"),
    "query on the base": (
        f"{BASE}?_getpages=a-b&_getpagesoffset=50",
        f"{BASE}?_getpages=a-b&_getpagesoffset=50",
    ),
    "relative": ("Condition?patient=1&page=2", f"{BASE}/Condition?patient=1&page=2"),
    "relative, query only": ("?_getpages=7", f"{BASE}?_getpages=7"),
    "absolute path": ("/fhir/r4/AAAAAA/Condition?page=2", f"{BASE}/Condition?page=2"),
    "network path on a known host": (
        "//fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Condition",
        f"{BASE}/Condition",
    ),
    "operation": (f"{BASE}/Group/g1/$export", f"{BASE}/Group/g1/$export"),
    "escaped operation": (
        f"{BASE}/%24export-poll-location?job_id=1",
        f"{BASE}/%24export-poll-location?job_id=1",
    ),
    "space and bar in the query": (f"{BASE}/Observation?code=a|b c", f"{BASE}/Observation?code=a%7Cb%20c"),
    "escapes in the query stay": (f"{BASE}/O?a=x%2Fy%20z+w%2B%7c", f"{BASE}/O?a=x%2Fy%20z+w%2B%7c"),
    "letters beyond ASCII in the query": (
        f"{BASE}/Patient?family=Müller",
        f"{BASE}/Patient?family=M%C3%BCller",
    ),
    "second question mark": (f"{BASE}/O?a=1?b=2", f"{BASE}/O?a=1?b=2"),
    "URL in the query": (f"{BASE}/O?code=http://loinc.org/x", f"{BASE}/O?code=http://loinc.org/x"),
    "very long": (f"{BASE}/O?_id={'x' * 9000}", f"{BASE}/O?_id={'x' * 9000}"),
}


@pytest.mark.parametrize(("link", "rebuilt"), REBASED.values(), ids=REBASED.keys())
def test_rebase_rebuilds(link: str, rebuilt: str) -> None:
    assert rebase(link, BASE, ALIASES) == rebuilt
    assert rebase(rebuilt, BASE) == rebuilt
    assert under_base(rebuilt, BASE)


def test_rebase_without_aliases_knows_its_own_host_only() -> None:
    with pytest.raises(NeverAgain):
        rebase("http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Condition", BASE)


def test_rebase_keeps_the_port_and_scheme_of_the_base() -> None:
    base = "http://127.0.0.1:8123/fhir/r4/AAAAAA/"
    link = "http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Condition?page=2"
    assert rebase(link, base, ALIASES) == "http://127.0.0.1:8123/fhir/r4/AAAAAA/Condition?page=2"


@pytest.mark.parametrize(
    "url",
    [
        "http://fhir4.healow.com/fhir/r4/AAAAAA/Patient",
        "https://fhir4.healow.com:8443/fhir/r4/AAAAAA/Patient",
        "https://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Patient",
        "Patient",
        "/fhir/r4/AAAAAA/Patient",
    ],
)
def test_under_base_takes_no_alias_scheme_port_or_relative(url: str) -> None:
    assert not under_base(url, BASE)


def test_under_base_is_true_for_the_base_and_below() -> None:
    assert under_base(BASE, BASE)
    assert under_base(f"{BASE}/", BASE)
    assert under_base("https://FHIR4.healow.com:443/fhir/r4/AAAAAA/Patient/1", f"{BASE}/")


def test_base_at_the_host_root() -> None:
    assert under_base("https://fhir.example.org/Patient", "https://fhir.example.org")
    assert rebase("/Patient?page=2", "https://fhir.example.org/") == "https://fhir.example.org/Patient?page=2"


@pytest.mark.parametrize(
    "base",
    ["", "fhir4.healow.com/fhir", f"{BASE}?x=1", f"{BASE}#x", "https://h/a//b", "ftp://h/a", "https://u@h/a"],
)
def test_base_that_is_none_is_refused(base: str) -> None:
    with pytest.raises(NeverAgain) as refused:
        parse_base(base)
    assert refused.value.code == "CFG_PRACTICE_CODE"


def test_target_url_is_canonical() -> None:
    assert parse("HTTPS://Example.ORG:443/a?b").url == "https://example.org/a?b"
    assert parse("https://[2001:DB8::1]:8443/a").url == "https://[2001:db8::1]:8443/a"


def test_refusal_quotes_no_query() -> None:
    with pytest.raises(NeverAgain) as refused:
        rebase("https://evil.example/Patient?name=Quimby", BASE)
    assert "Quimby" not in str(refused.value)
    assert "evil.example" in str(refused.value)


ADDRESSES = {
    "8.8.8.8": True,
    "2606:4700:4700::1111": True,
    "127.0.0.1": False,
    "127.8.8.8": False,
    "0.0.0.0": False,
    "10.1.2.3": False,
    "172.16.0.1": False,
    "192.168.1.1": False,
    "100.64.0.1": False,
    "169.254.169.254": False,
    "192.0.0.1": False,
    "192.0.2.1": False,
    "198.18.0.1": False,
    "224.0.0.1": False,
    "240.0.0.1": False,
    "255.255.255.255": False,
    "::1": False,
    "::": False,
    "::ffff:8.8.8.8": False,
    "::ffff:127.0.0.1": False,
    "::127.0.0.1": False,
    "64:ff9b::8.8.8.8": False,
    "64:ff9b::7f00:1": False,
    "64:ff9b:1::1": False,
    "2002:7f00:1::": False,
    "2001:0:7f00:1::": False,
    "fe80::1": False,
    "fe80::1%eth0": False,
    "fc00::1": False,
    "fec0::1": False,
    "ff02::1": False,
    "2001:db8::1": False,
}


@pytest.mark.parametrize(("address", "public"), ADDRESSES.items(), ids=ADDRESSES.keys())
def test_public_address(address: str, public: bool) -> None:
    assert public_address(address) is public
