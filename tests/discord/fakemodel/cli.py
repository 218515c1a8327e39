"""The fake as a program."""

import argparse
import asyncio
import signal

from fakediscord.cli import write_port

from . import options, scenarios
from .providers import PROVIDERS
from .server import FakeModel

EPILOG = """\
One line is printed when it listens:
  fake model: url=... key=... model=... admin=... seed=...

A model named scenario-N, or scenario-N:variant, answers in the N-th wrong way (--list).  The words "long", "code",
"emoji", "table" and "list" in a question get such an answer.

Admin side, JSON over HTTP on the same port:
  POST /_fake/script {"scenario": 14, "n": 1, ...}   how the next n requests are answered; calm, drop
  GET  /_fake/state            addresses, scenarios, counts
  GET  /_fake/LIST?since=I     requests violations refused stolen connections
README.md beside the program says what each takes.
"""


def parser():
    o = options.Options
    p = argparse.ArgumentParser(prog="fake-model",
                                description="A fake model server: OpenAI-compatible chat completions.",
                                epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default=o.host)
    p.add_argument("--port", type=int, default=0, help="0: the system chooses")
    p.add_argument("--port-file", metavar="F", help="the port is written here once it listens")
    p.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    p.add_argument("--seed", type=int)
    p.add_argument("--key", default=o.key, help="the API key; empty: none is asked for")
    p.add_argument("--model", default=o.model)
    p.add_argument("--provider", choices=PROVIDERS, default=o.provider, help="whose rules hold under /v1")
    p.add_argument("--pace", type=float, default=o.pace, metavar="N", help="tokens per second; 0: no pause")
    p.add_argument("--first", type=float, default=o.first_s, metavar="SECONDS", help="silence before the first token")
    p.add_argument("--length", type=int, default=o.length, metavar="N", help="characters of an answer")
    p.add_argument("--list", action="store_true", help="print the scenarios")
    return p


async def serve(args):
    given = {"host": args.host, "port": args.port, "seed": args.seed, "key": args.key, "model": args.model,
             "provider": args.provider, "pace": args.pace, "first_s": args.first, "length": args.length, "keep": 20000}
    if args.tls:
        given["cert"], given["tls_key"] = args.tls
    server = FakeModel(options.make(**given))
    await server.start()
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, done.set)
    if args.port_file:
        write_port(args.port_file, server.port)
    print(f"fake model: url={server.url} key={args.key} model={args.model} admin={server.root}/_fake "
          f"seed={server.opts.seed}", flush=True)
    await done.wait()
    await server.stop()


def main(argv=None):
    args = parser().parse_args(argv)
    if args.list:
        for s in scenarios.SCENARIOS.values():
            print(f"{s.number:2} {s.name:20} {' '.join(s.variants)}".rstrip())
        return
    try:
        asyncio.run(serve(args))
    except OSError as e:
        raise SystemExit(f"fake-model: {e}") from None
