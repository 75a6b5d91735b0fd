"""What a URL of Redis may look like.

What redis-py would pass over in silence (a database that is no number), or stumble over when it connects, or
what would change how our clients work (``decode_responses``), is refused. No message shows any of the URL's
parts, since what looks like a port may be a piece of a password.
"""

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote_to_bytes, urlsplit

SCHEMES = ("redis", "rediss", "unix")

_ANY, _YES_OR_NO = r".+", r"(?i)true|false|yes|no|1|0"
_OPTIONS = {"db": "[0-9]{1,9}"}
_TLS_OPTIONS = {
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"), _ANY),
    "ssl_cert_reqs": "required|optional|none",
    "ssl_check_hostname": _YES_OR_NO,
}
"""The options of each kind of connection, and what their values look like."""

_ESCAPE = "in a user or a password write / as %2F, ? as %3F, # as %23, [ as %5B, @ as %40 and % as %25"


def check(url: str) -> str:
    """The URL as redis-py takes it; raises `ValueError` that says what is wrong, without showing it."""
    # Where the locale knows no UTF-8, Python keeps the bytes of a variable as surrogates.
    url = _utf_8(url.encode("utf-8", "surrogateescape"))
    if url != url.strip() or any(character < " " for character in url):
        raise ValueError("must be without line breaks and control characters, and without spaces at its ends")
    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise ValueError("must be redis://, rediss:// or unix://, and what follows it")
    if "#" in url:
        raise ValueError(f"must be without # ({_ESCAPE})")
    # Python takes some letters apart (NFKC), and refuses those that are then no letters.
    url = quote(url, safe="".join(map(chr, range(32, 127))))
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"must be a URL, with brackets around an IPv6 address alone ({_ESCAPE})") from None
    _check_place(parts)
    for text in (parts.username, parts.password, parts.path, parts.hostname):
        _utf_8(unquote_to_bytes(text or ""))
    _check_options(parts)
    return url


def _utf_8(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise ValueError("must be UTF-8, in its %-escapes too") from None


def _check_place(parts: SplitResult) -> None:
    try:
        parts.port  # noqa: B018 - raises, and shows what it takes for a port
    except ValueError:
        raise ValueError(f"must be with a port that is a number up to 65535 ({_ESCAPE})") from None
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("must be unix:///PATH")
        return
    if not parts.hostname:
        raise ValueError(f"must be {parts.scheme}://HOST")
    if ":" in parts.hostname and "[" not in parts.netloc:
        raise ValueError("must be with brackets around an IPv6 address")
    if not re.fullmatch(r"/?[0-9]{0,9}/?", parts.path):
        raise ValueError(f"must end in the number of a database, such as /0 ({_ESCAPE})")


def _check_options(parts: SplitResult) -> None:
    options = _OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else {})
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in options:
            raise ValueError(f"must be without options other than {', '.join(options)} ({_ESCAPE})")
        if not re.fullmatch(options[name], value):
            raise ValueError(f"must be with a value for {name} that is one: {options[name]}")
