"""TLS to a database of MySQL's protocol, as its URL asks for it: ``?ssl=true&ssl_ca=/authorities.pem``."""

import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


def check(url: str) -> None:
    """Raise `ValueError` if what the URL says of TLS can't be used."""
    options = _options(url)
    if options.get("ssl", "false") not in ("true", "false"):
        raise ValueError("ssl in it must be true or false")
    authorities = options.get("ssl_ca")
    if authorities is None:
        return
    if options.get("ssl") != "true":
        raise ValueError("ssl_ca in it needs ssl=true beside it")
    if not Path(authorities).is_file():
        raise ValueError("ssl_ca in it is no file")


def context_of(url: str) -> ssl.SSLContext | None:
    """How to check the server: by ``ssl_ca``, else by the authorities of the system; None without TLS."""
    options = _options(url)
    if options.get("ssl") != "true":
        return None
    return ssl.create_default_context(cafile=options.get("ssl_ca"))


def _options(url: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
