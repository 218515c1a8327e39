"""Runs the steps one after the other, inside the machine.  What it prints the host shows; /root/walk/status says 0 or 1."""

import pathlib
import sys
import time
import traceback

sys.path[:0] = ["/root/tests/discord", "/root/tests/system"]

import steps  # noqa: E402
from machine import VIRT, Unit, note, sh  # noqa: E402


def main():
    wanted = sys.argv[1:]
    bot = Unit()
    began = time.monotonic()
    print(f"in {VIRT}, {sh('uname -sr').strip()}, "
          f"{sh('systemctl --version').splitlines()[0]}; fake Discord: seed {bot.fake.seed}", flush=True)
    for n, (title, function) in enumerate(steps.STEPS, 1):
        if wanted and function.__name__ not in wanted and not function.always:
            continue
        print(f"{n:2} {title}", flush=True)
        t0 = time.monotonic()
        function(bot)
        note(f"ok, {time.monotonic() - t0:.1f} s")
    print(f"walk: {len(bot.said)} messages, one answer each; {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    status = 1
    try:
        main()
        status = 0
    except Exception:
        traceback.print_exc()
        print(sh("systemctl status --no-pager -l bulkhead; bulkheadctl status; "
                 "journalctl -q --no-pager -o short-precise -u bulkhead | tail -n 60", check=False).stdout)
    pathlib.Path("/root/walk/status").write_text(str(status))
    sys.stdout.flush()
    sys.exit(status)
