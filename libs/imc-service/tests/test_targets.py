"""Targets of requests, taken apart."""

import itertools

import pytest
from imc_contracts.errors import Refused
from imc_service.http1.targets import check_form, path_as_sent, read_target

# Where the rules of UTF-8 change (RFC 3629, section 4).
EDGES = (
    b"\x00\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"
)


def is_accepted(text: bytes) -> bool:
    try:
        check_form(text)
    except Refused:
        return False
    return True


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("spelling", ["%{:02x}", "%{:02X}"])
def test_escapes_are_accepted_where_a_strict_decoder_reads_them(spelling: str) -> None:
    for size in (1, 2, 3, 4):
        for units in itertools.product(EDGES, repeat=size):
            escapes = (spelling * size).format(*units).encode()
            assert is_accepted(escapes) is is_utf8(bytes(units)), escapes


@pytest.mark.parametrize(
    "text", [b"%", b"%4", b"a=%4&b=1", b"%zz", b"%%41", b"%E7%BE", b"%E7%BEx%A4", b"%E7&%BE%A4"]
)
def test_escapes_that_are_cut_are_not_accepted(text: bytes) -> None:
    assert not is_accepted(text)
    assert not is_accepted(b"a=%20b&" + text)
    assert not is_accepted(text + b"&a=%20b")


def test_a_form_may_hold_characters_that_are_not_escaped() -> None:
    assert check_form("a=群%20&b".encode()) == "a=群%20&b"


@pytest.mark.parametrize(
    ("target", "read"),
    [
        (b"/", ("/", b"/", None, b"")),
        (b"/a/b?c=1&d", ("/a/b", b"/a/b", None, b"c=1&d")),
        (b"/a?", ("/a", b"/a", None, b"")),
        (b"/a?b?c", ("/a", b"/a", None, b"b?c")),
        (b"/a?b#c?d", ("/a", b"/a", None, b"b")),
        (b"/a#b?c", ("/a", b"/a", None, b"")),
        (b"/%E7%BE%A4%2f?%E7%BE%A4", ("/群/", b"/%E7%BE%A4%2f", None, b"%E7%BE%A4")),
        (b"//h/a", ("//h/a", b"//h/a", None, b"")),
        (b"*", ("*", b"*", None, b"")),
        (b"http://h:1/a?b", ("/a", b"/a", b"h:1", b"b")),
        (b"HTTPS://u:p@h?b#c", ("/", b"/", b"h", b"b")),
        (b"http://h#c", ("/", b"/", b"h", b"")),
        (b"/" + b"x" * 200 + b"?y", ("/" + "x" * 200, b"/" + b"x" * 200, None, b"y")),
    ],
)
def test_a_target_is_taken_apart(target: bytes, read: tuple[str, bytes, bytes | None, bytes]) -> None:
    path, query = read_target(target)
    assert (*path, query) == read


@pytest.mark.parametrize(
    "target", ["/群".encode(), "/a?群".encode(), b"/%ff", b"/a?%ff", b"/a%?b", b"/a?b=%e7%be&c=%a4"]
)
def test_a_target_that_has_two_readings_is_refused(target: bytes) -> None:
    with pytest.raises(Refused):
        read_target(target)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/chat/message/create", "/chat/message/create"),
        (b"/notice/%ff", "/notice/%ff"),
        (b"/chat/x?y", "/chat/x?y"),
        (b"https://h:1/chat/%ff?y", "/chat/%ff"),
        (b"http://h?/chat/", ""),
        (b"http://[/chat/x", ""),
        (b"\xff/chat/", "\xff/chat/"),
        (b"/\xe7", "/\xe7"),
        (b"*", "*"),
        (b"", ""),
    ],
)
def test_the_path_of_any_target_is_told_as_it_was_sent(target: bytes, path: str) -> None:
    assert path_as_sent(target) == path
