"""Serve Debian's Keystone on the listening socket that is file descriptor 3.

Run in a directory of its own that holds keystone.conf. Where the directory has no database yet, one is
made, with keys, the usual roles and the administrator. One process does it all, since importing Keystone is most of the
cost. Keystone answers one request at a time, since sqlite takes no more; each connection has a thread, since clients open
some that they do not use at once, or send half a request. It ends when its standard input does.
"""

import gc
import io
import os
import socket
import socketserver
import sqlite3
import sys
import threading
from wsgiref import simple_server

from keystone.cmd import bootstrap
from keystone.common import fernet_utils
from keystone.common import provider_api
from keystone.common.sql import upgrades
import keystone.conf
from keystone.server.flask import core

CONF = keystone.conf.CONF


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


class Handler(simple_server.WSGIRequestHandler):
    timeout = 60

    def address_string(self):
        return self.client_address[0]

    def log_message(self, *args):
        pass


def set_up(url):
    upgrades.offline_sync_database_to_version()
    sqlite3.connect("keystone.db").execute("PRAGMA journal_mode=WAL")
    for name in ("fernet_tokens", "credential"):
        group = CONF[name]
        keys = fernet_utils.FernetUtils(group.key_repository, getattr(group, "max_active_keys", 3), name)
        keys.create_key_directory()
        keys.initialize_key_repository()
    b = bootstrap.Bootstrapper()
    b.admin_username = b.project_name = b.admin_role_name = "admin"
    b.admin_password = os.environ["ADMIN_PASSWORD"]
    b.service_name, b.region_id = "keystone", "RegionOne"
    b.admin_url = b.public_url = b.internal_url = url
    b.bootstrap()
    provider_api.ProviderAPIs._clear_registry_instances()  # the application makes its own


def one_at_a_time(app):
    turn = threading.Lock()

    def run(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))  # nobody waits for a body to come
        with turn:
            return app(environ, start_response)
    return run


def overridable(app):
    """Let POST /override?group/option=value change Keystone's configuration while it runs; without value, back."""
    def run(environ, start_response):
        if environ["PATH_INFO"] != "/override":
            return app(environ, start_response)
        name, _, value = environ["QUERY_STRING"].partition("=")
        group, _, option = name.partition("/")
        if value:
            CONF.set_override(option, value, group)
        else:
            CONF.clear_override(option, group)
        start_response("204 No Content", [])
        return []
    return run


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


def main():
    threading.Thread(target=end_with_parent, daemon=True).start()
    fresh = not os.path.exists("keystone.db")
    app = core.initialize_application(
        name="public", config_files=["keystone.conf"],
        post_log_configured_function=lambda: set_up(os.environ["KEYSTONE_URL"]) if fresh else None)
    listener = socket.socket(fileno=3)
    server = Server(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = listener.getsockname()
    server.setup_environ()
    server.set_app(one_at_a_time(overridable(app)))
    gc.freeze()  # what was imported stays
    server.serve_forever()


main()
