"""Servers and clients that others wrote, for tests: functions for Pod.spawn() and Pod.call(), as in programs.py. They are imported only in
the programs themselves."""
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

NGINX = Path(__file__).parents[2] / os.environ.get("LEAT_BUILD", "build") / "nginx/usr/sbin/nginx"

_NGINX_CONF = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  sendfile on; gzip on; gzip_types *; gzip_min_length 100;
  server {{
    listen {port}{options};
    root {folder}/www;
    location /echo {{ return 200 "$request_method $server_protocol $http_x_word\\n"; }}
    location /put {{ dav_methods PUT; client_max_body_size 0; }}
  }}
}}
"""


def serve_nginx(say, folder, port, options=""):
    """The files below `folder`/www on `port`, until the program is killed. `options`: of its `listen`."""
    config = Path(folder) / f"nginx-{port}.conf"
    config.write_text(_NGINX_CONF.format(folder=folder, port=port, options=options))

    def die_with_parent():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    server = subprocess.Popen([NGINX, "-p", folder, "-c", config], preexec_fn=die_with_parent, stderr=subprocess.PIPE, text=True)
    while server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            say("listening")
            server.wait()
        time.sleep(0.02)
    raise RuntimeError(f"nginx ended: {server.stderr.read()}")


def serve_websocket(say, port):
    """Sends each message back, and says what each connection's last word was."""
    import asyncio
    import websockets

    async def echo(connection, _path):
        last = None
        try:
            async for last in connection:
                await connection.send(last)
        finally:
            say((connection.close_code, connection.close_reason, last if isinstance(last, str) else None))

    async def run():
        async with websockets.serve(echo, "0.0.0.0", port, max_size=None, ping_interval=0.1, subprotocols=["chat"]):
            say("listening")
            await asyncio.Future()
    asyncio.run(run())


def talk_websocket(address, port, messages):
    """What came back of each message, the subprotocol, and how long a ping took; closes with a code and words of its own."""
    import asyncio
    import websockets

    async def run():
        async with websockets.connect(f"ws://{address}:{port}/chat", max_size=None, subprotocols=["chat"]) as connection:
            heard = []
            for message in messages:
                await connection.send(message)
                heard.append(await connection.recv())
            await asyncio.wait_for(await connection.ping(), 10)
            await connection.close(4001, "enough")
            return heard, connection.subprotocol
    return asyncio.run(run())
