"""Whoever stops reading or answering costs the heartbeat nothing."""

import os
import socket
import struct

import msgpack
import pytest
from fakediscord import threaded

from bot import wait_for

pytestmark = pytest.mark.alone       # heartbeat jitter is asserted
ASK = 0x70


def beats_on_time(bot, machine, more=6):
    start = bot.status()["gateway"]["beats"]
    wait_for(lambda: bot.status()["gateway"]["beats"] >= start + more, 20, f"{more} heartbeats")
    machine.kept_time(bot)


def flood(fake, bot, n=500):
    before = len(fake.answers())
    fake.say_many([(fake.channels[i % 20], "!ping") for i in range(n)])
    assert fake.wait(lambda: len(fake.answers()) >= before + n, 60)
    assert bot.status()["health"]


def test_reader_of_the_log_stops(bots, watched):
    with threaded.Fake(polite=True, heartbeat_ms=250, limits=False) as fake:
        read, write = os.pipe()
        bot = bots(fake, log_level="debug")
        bot.start(stderr=write)
        os.close(write)
        machine = watched(bot)
        try:
            wait_for(lambda: bot.socket.exists() and bot.status()["gateway"]["state"].lower() == "ready", 20, "live")
            # Nobody reads: the pipe fills, then the ring.
            for _ in range(40):
                flood(fake, bot, 100)
                for _ in range(100):
                    bot_log_noise(bot)
                if bot.counters()["log_dropped"]:
                    break
            assert bot.counters()["log_dropped"] > 0
            beats_on_time(bot, machine)
            # The reader is back: it is told how much it missed.
            os.set_blocking(read, False)
            seen = b""

            def told():
                nonlocal seen
                try:
                    seen += os.read(read, 1 << 20)
                except BlockingIOError:
                    pass
                return b"dropped" in seen
            wait_for(told, 20, "the count of dropped lines")
        finally:
            os.close(read)


def bot_log_noise(bot):
    """Make the supervisor log: a refused command costs it one line or more."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(bot.socket))
        client.sendall(struct.pack(">I", 4) + b"junk")
        client.settimeout(5)
        try:
            while client.recv(4096):
                pass
        except TimeoutError:
            pass


def test_silent_name_server(bots, watched, tmp_path):
    """Names are asked of a server that never answers; what is connected already goes on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, \
            threaded.Fake(polite=True, heartbeat_ms=250, limits=False) as fake:
        silent.bind(("127.0.0.1", 0))
        conf = tmp_path / "resolv.conf"
        conf.write_text(f"nameserver 127.0.0.1:{silent.getsockname()[1]}\n")
        bot = bots(fake, resolv_conf=str(conf), connect_timeout=2, backoff_max=1)
        machine = watched(bot.start())
        bot.ready()
        beats_on_time(bot, machine)
        # A gateway that is known by name only: every attempt ends at the deadline, none blocks.
        other = bots(None, token="x", api_url="https://discord.test/api/v10", resolv_conf=str(conf), start_patience=3,
                     connect_timeout=1)
        other.start()
        wait_for(lambda: other.socket.exists(), 10, "it answers its control socket meanwhile")
        assert other.status()["gateway"]["state"]
        assert other.process.wait(120) == 69
        beats_on_time(bot, machine)


def test_control_client_that_never_reads(bots, watched):
    with threaded.Fake(polite=True, heartbeat_ms=250, limits=False) as fake:
        bot = bots(fake)
        machine = watched(bot.start())
        bot.ready()
        words = msgpack.packb("show") + msgpack.packb("config")
        ask = msgpack.packb([ASK, 1, 1, words, b""], use_bin_type=True)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(bot.socket))
            client.setblocking(False)
            sent = 0
            frame = struct.pack(">I", len(ask)) + ask
            try:
                while sent < 4000:
                    client.sendall(frame)
                    sent += 1
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass
            beats_on_time(bot, machine)
            message = fake.say(fake.channels[0], "!ping")
            assert fake.wait(lambda: fake.replies_to(message["id"]))


def test_many_control_clients(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    clients = []
    try:
        for _ in range(40):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(bot.socket))
            clients.append(client)
        message = polite.say(polite.channels[0], "!ping")
        assert polite.wait(lambda: polite.replies_to(message["id"]))
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: bot.ctl_run("status").returncode == 0, 10, "room for a client again")
