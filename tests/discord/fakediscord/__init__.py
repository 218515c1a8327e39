"""A fake Discord: gateway v10 and REST v10 in one process, scriptable, and unkind by default.

server.FakeDiscord    the whole thing, for use inside an asyncio program
threaded.Fake         the same behind a thread (loopthread), for pytest
cli.main              the program tests/discord/fake-discord

Every assumption about Discord is a row of ../assumptions.md.
"""
