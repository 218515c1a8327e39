"""A fake model server: OpenAI-compatible chat completions, and the forty ways in which such a server goes wrong.

server.FakeModel      the whole thing, for use inside an asyncio program
threaded.FakeModel    the same behind a thread, for pytest
cli.main              the program tests/discord/fake-model

scenarios.py          the forty, by number and name
providers.py          what each provider refuses, and the shape of its errors
Every assumption about a provider is a row of ../assumptions.md.
"""
