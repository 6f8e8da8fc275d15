"""nginx as people would set it up in the gateway's place: `proxy_cache`, and `auth_request` before what is private."""

from __future__ import annotations

import resource
from pathlib import Path

# tcp_nopush would cost nginx much here: 1,000 cached bodies of 100 kB a second in place of 8,500. Segments are 64 kB on
# loopback, and the rest of a body waits for an acknowledgement.
_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log warn; {user}
events {{ worker_connections {connections}; }}
http {{
  access_log {log};
  sendfile on; tcp_nopush off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 300s;
  open_file_cache max={files} inactive=10m; open_file_cache_valid 10m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/pictures levels=1:2 keys_zone=pictures:20m max_size=4g inactive=2h use_temp_path=off;
  proxy_cache_path {folder}/answers levels=1:2 keys_zone=answers:4m max_size=64m inactive=2h use_temp_path=off;
  proxy_http_version 1.1;
  server {{
    listen 127.0.0.1:{port};
    location /plain/ {{ proxy_pass {origin}; proxy_cache pictures; proxy_cache_key $request_uri; }}
    location /private/ {{
      auth_request /auth;
      proxy_pass {origin}/plain/; proxy_cache pictures; proxy_cache_key $request_uri; proxy_set_header Authorization "";
      add_header Cache-Control private;
    }}
    location /by-cookie/ {{
      auth_request /auth-by-cookie;
      proxy_pass {origin}/plain/; proxy_cache pictures; proxy_cache_key $request_uri;
      add_header Cache-Control private;
    }}
    location = /auth-by-cookie {{
      internal;
      proxy_pass {origin}/auth; proxy_pass_request_body off; proxy_set_header Content-Length "";
      proxy_cache answers; proxy_cache_key $cookie_thumb_session; proxy_cache_valid 204 5m;
    }}
    location = /auth {{
      internal;
      proxy_pass {origin}/auth; proxy_pass_request_body off; proxy_set_header Content-Length "";
      proxy_cache answers; proxy_cache_key $http_authorization; proxy_cache_valid 204 5m;
    }}
  }}
}}
"""

_CONNECTIONS = 1024
_MOST_FILES = 20_000


def configuration(folder: Path, port: int, origin: str, *, is_root: bool, is_narrated: bool) -> str:
    """Write the configuration; `is_narrated` asks for a line per request, buffered."""
    log = f"{folder}/nginx-access.log combined buffer=64k flush=1s" if is_narrated else "off"
    user = "user root;" if is_root else ""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    files = most_files(limit if limit != resource.RLIM_INFINITY else 2 * _MOST_FILES)
    return _CONFIGURATION.format(
        folder=folder, port=port, origin=origin, log=log, user=user, connections=_CONNECTIONS, files=files
    )


def most_files(limit: int) -> int:
    """Tell how many files nginx may hold open, beside its connections, where a process may have so many descriptors.

    With no room left it answers 500 (EMFILE), and accepts no connection for half a second.
    """
    return min(max(limit - 3 * _CONNECTIONS, limit // 4), _MOST_FILES)
