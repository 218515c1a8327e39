"""The fake as a program."""

import argparse
import asyncio
import importlib.util
import os
import signal
import sys

from . import options
from .server import FakeDiscord

EPILOG = """\
One line is printed when it listens:
  fake discord: url=... gateway=... admin=... token=... seed=...

Admin side, JSON over HTTP on the same port:
  POST /_fake/say {"channel_id": "...", "text": "..."}   a user speaks (also author, reply_to); edit, delete, react
  POST /_fake/FAULT {...}      drop cut stall unstall close op7 op9 op1 op10 junk forget_sessions no_hello no_ready
                               op7_first refuse unreachable resume_gone listen token_revoked token_restored rate_limit fail slow
                               slow_body lose_answer reset calm
  GET  /_fake/state            ids, addresses, connections, sessions, counts
  GET  /_fake/events           what happens, as server-sent events; ?since=N, and ?poll=1 for one JSON list
  GET  /_fake/LIST?since=I     sent requests posts heartbeats identifies resumes presences connections violations faults
README.md beside the program says what each takes.
"""


def parser():
    p = argparse.ArgumentParser(prog="fake-discord", description="A fake Discord: gateway and REST v10.",
                                epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0, help="0: the system chooses")
    p.add_argument("--resume-port", type=int, default=0, help="the port of resume_gateway_url")
    p.add_argument("--port-file", metavar="F", help="the port is written here once it listens")
    p.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    p.add_argument("--seed", type=int)
    p.add_argument("--polite", action="store_true", help="no doubles, no swaps, no lost answers, a long memory")
    p.add_argument("--token", default=options.Options.token)
    p.add_argument("--channels", type=int, default=options.Options.channels)
    p.add_argument("--heartbeat-ms", type=int, default=options.Options.heartbeat_ms)
    p.add_argument("--identify-window", type=float, default=options.Options.identify_window_s, metavar="SECONDS",
                   help="one IDENTIFY in this time")
    p.add_argument("--no-limits", action="store_true", help="no rate limits on REST")
    return p


def write_port(path, port):
    """The reader never sees half of it."""
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(f"{port}\n")
    os.replace(path + ".new", path)


async def serve(args):
    given = {"host": args.host, "port": args.port, "resume_port": args.resume_port, "seed": args.seed,
             "polite": args.polite, "token": args.token, "channels": args.channels,
             "heartbeat_ms": args.heartbeat_ms, "identify_window_s": args.identify_window, "keep": 20000}
    if args.tls:
        given["cert"], given["key"] = args.tls
    if importlib.util.find_spec("jsonschema") is None:
        print("fake-discord: python3-jsonschema is not installed: bodies are not validated", file=sys.stderr)
        given["validate"] = False
    if args.no_limits:
        given["limits"] = False
    server = FakeDiscord(options.make(**given))
    await server.start()
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, done.set)
    if args.port_file:
        write_port(args.port_file, server.port)
    print(f"fake discord: url={server.url} gateway={server.gateway_url} admin={server.admin_url} "
          f"token={args.token} seed={server.opts.seed}", flush=True)
    await done.wait()
    await server.stop()


def main(argv=None):
    args = parser().parse_args(argv)
    try:
        asyncio.run(serve(args))
    except OSError as e:
        raise SystemExit(f"fake-discord: {e}") from None
