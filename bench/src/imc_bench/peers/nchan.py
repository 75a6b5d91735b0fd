"""The configuration of nginx with nchan as a relay without message storage."""

import os
from pathlib import Path

_TEMPLATE = """\
load_module {module};
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/listen/([^/]+)$ {{
            nchan_subscriber websocket;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
        }}
        location ~ ^/publish/([^/]+)$ {{
            nchan_publisher websocket http;
            nchan_channel_id $1;
            nchan_store_messages off;
        }}
    }}
}}
"""


def configure(folder: Path, module: Path, port: int) -> Path:
    """Write the configuration into ``folder``; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    # Without this, a worker started by root would change to an account that can't read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(_TEMPLATE.format(module=module, folder=folder, port=port, user=user))
    return path
