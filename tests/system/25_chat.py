"""A bot that answers with a model, by configuration alone: who is answered, what the model is told, how it ends."""

import base64
import http.server
import subprocess
import threading
import time

import pytest

from bot import wait_for
from fakediscord import threaded
from fakemodel.threaded import FakeModel

STOP = "\u23f9\ufe0f"


@pytest.fixture
def model():
    with FakeModel() as server:
        yield server


@pytest.fixture
def chats(bots):
    """Makes a bot that talks."""
    def make(fake, model, chat="", more="", models="", pools=None, **kwargs):
        bot = bots(fake, pools or {"chat": {"handler": "chat"}}, **kwargs)
        bot.write_conf(bot.conf.read_text() + f'model "m" {{\n  base_url = "{model.url}"\n  api_key = "{model.key}"\n'
                       f'  name = "{model.model}"\n{more}\n}}\n{models}\nchat {{\n{chat}\n}}\n')
        return bot.start().ready()
    return make


def call(fake):
    return f"<@{fake.bot_id}>"


def shown(fake, channel):
    messages = fake.call(lambda: list(fake.server.world.messages[channel].values()))
    return [m for m in messages if m["author"]["id"] == fake.bot_id]


def text(fake, channel):
    return "".join(m["content"] for m in shown(fake, channel))


def idle(bot):
    for name in [w["name"] for w in bot.status()["workers"] if w["name"].startswith("chat")]:
        wait_for(lambda n=name: bot.worker(n)["open"] == 0, 60, "every delivery is acked")


def told(model, i=-1):
    """What the model was sent, as [(role, text)]."""
    return [(m["role"], m["content"]) for m in model.requests[i]["body"]["messages"]]


def answered(bot, fake, message, want, timeout=30):
    """The answer's message, once its text is that."""
    def there():
        return [m for m in fake.replies_to(message["id"]) if m["content"] == want]
    wait_for(there, timeout, f"the answer {want[:40]!r}; shown: {text(fake, message['channel_id'])[:400]!r}")
    idle(bot)
    return there()[0]


def test_talks(polite, model, chats):
    bot = chats(polite, model, chat='  system_prompt = "You are {bot} in {channel} of {guild}; {date}."')
    channel = polite.channels[0]
    model.script(text="Hello, I am a model.")
    said = polite.say(channel, f"{call(polite)} who are you?")
    first = answered(bot, polite, said, "Hello, I am a model.")
    (system, words), (user, question) = told(model)
    assert (system, user) == ("system", "user")
    assert question.endswith(": who are you?") and "{" not in words.split(";")[0]
    # A reply with the ping off goes on with the conversation; another one branches.
    model.script(text="Two.")
    second = answered(bot, polite, polite.say(channel, "and then?", reply_to=first["id"]), "Two.")
    assert [t.partition(": ")[2] or t for _, t in told(model)[1:]] == ["who are you?", "Hello, I am a model.", "and then?"]
    model.script(text="Three.")
    answered(bot, polite, polite.say(channel, "or else?", reply_to=first["id"]), "Three.")
    assert [r for r, _ in told(model)[1:]] == ["user", "assistant", "user"]
    assert second["content"] not in str(told(model))
    assert model.key not in bot.log() and model.key not in bot.ctl("show", "config")


def test_who_is_answered(polite, model, chats):
    free, other = polite.channels[1], polite.channels[2]
    bot = chats(polite, model, chat=f'  free_channels = {{ "{free}" }}')
    polite.say(other, "nobody called")
    someone = next(u for u in polite.users if u != polite.bot_id)
    polite.say(free, f"<@{someone}> to someone else")
    direct = polite.say(polite.dm, "hello")
    assert polite.wait(lambda: polite.replies_to(direct["id"]), 30)
    open_ = polite.say(free, "to everyone")
    assert polite.wait(lambda: polite.replies_to(open_["id"]), 30)
    idle(bot)
    assert len(model.requests) == 2 and not shown(polite, other)
    assert polite.wait(lambda: shown(polite, polite.dm)[-1]["content"])
    # A direct message needs no reply to go on.
    again = polite.say(polite.dm, "go on")
    assert polite.wait(lambda: polite.replies_to(again["id"]), 30)
    idle(bot)
    assert [r for r, _ in told(model) if r != "system"] == ["user", "assistant", "user"]


def test_edits_and_deletes_are_followed(polite, model, chats):
    bot = chats(polite, model)
    channel = polite.channels[0]
    model.script(text="One.")
    said = polite.say(channel, f"{call(polite)} frist")
    one = answered(bot, polite, said, "One.")
    polite.edit(channel, said["id"], f"{call(polite)} first")
    model.script(text="Two.")
    answered(bot, polite, polite.say(channel, "next", reply_to=one["id"]), "Two.")
    assert "first" in str(told(model)) and "frist" not in str(told(model))


def test_a_long_conversation_is_cut_and_says_so(polite, model, chats):
    bot = chats(polite, model, chat="  max_messages = 3")
    channel = polite.channels[0]
    last = None
    for i in range(3):
        model.script(text=f"Answer {i}.")
        said = polite.say(channel, f"{call(polite)} question {i}", reply_to=last and last["id"])
        want = f"Answer {i}." + ("\n-# 3 messages were read, no older ones." if i == 2 else "")
        last = answered(bot, polite, said, want)
    assert len(told(model)) == 4 and "question 0" not in str(told(model))
    # The note is for people: the model never reads it back.
    model.script(text="End.")
    answered(bot, polite, polite.say(channel, "and?", reply_to=last["id"]),
             "End.\n-# 3 messages were read, no older ones.")
    assert ("assistant", "Answer 2.") in told(model)


def test_too_long_for_the_model(polite, model, chats):
    """What the server refuses is asked again once without its oldest third, and the answer says so."""
    bot = chats(polite, model)
    channel = polite.channels[0]
    model.script(text="First.")
    first = answered(bot, polite, polite.say(channel, f"{call(polite)} {'old ' * 400}"), "First.")
    model.script("context:vllm", n=None, limit=1500, text="Second.")
    answered(bot, polite, polite.say(channel, "and now?", reply_to=first["id"]),
             "Second.\n-# The model read only the newest part of the conversation.")
    assert len(model.requests) == 3 and "old old" not in str(told(model)) and told(model)[-1][1].endswith("and now?")


@pytest.mark.parametrize("how", ["word", "reaction", "deleted", "question", "old generation"])
def test_the_asker_stops_it(polite, model, chats, how):
    bot = chats(polite, model)
    channel = polite.channels[0]
    model.script(length=6000, pace=20)
    said = polite.say(channel, f"{call(polite)} a long story")
    assert polite.wait(lambda: shown(polite, channel), 30)
    message = shown(polite, channel)[0]["id"]
    stranger = next(u for u in polite.users if u not in (said["author"]["id"], polite.bot_id))
    polite.react(channel, message, STOP, author=stranger)
    if how == "word":
        polite.say(channel, "Stop!")
    elif how in ("reaction", "old generation"):
        if how == "old generation":             # it writes on beside the new workers, and still hears of it
            bot.ctl("--no-wait", "restart", "chat", "--rolling")
            wait_for(lambda: bot.worker("chat.0")["generation"] == 2 and bot.worker("chat.0")["state"] == "ready", 20, "renewed")
        polite.react(channel, message, STOP)
    else:
        polite.delete(channel, said["id"] if how == "question" else message)
    at = time.monotonic()
    assert model.wait(lambda: model.requests[-1]["end"], 10) == "client closed", "the model's connection is closed"
    assert model.requests[-1]["closed_t"] - at < 30, "before its five minutes are over"
    idle(bot)
    if how != "deleted":
        assert shown(polite, channel)[0]["content"].endswith("\u23f9 stopped")
    assert len(model.requests) == 1 and len(shown(polite, channel)) == (how != "deleted")
    if how == "question":
        states = {d["event"]: d["state"] for d in bot.ask("explain", said["id"])["deliveries"]}
        assert states == {"MESSAGE_CREATE": "cancelled", "MESSAGE_DELETE": "finished"}


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


@pytest.fixture
def files():
    """A server of attachments: {path: bytes}."""
    served = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = served.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served["url"] = f"http://127.0.0.1:{server.server_address[1]}"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("sees", [True, False, "deepseek"])
def test_images(polite, model, chats, files, sees):
    more = f'  sees = yes\n  provider = "{sees if isinstance(sees, str) else "auto"}"' if sees else ""
    sees = sees is True                     # that provider takes none, whatever the model is said to do
    bot = chats(polite, model, more=more, chat="  max_image = 4K")
    channel = polite.channels[0]
    files |= {"/good.bin?ex=1": PNG, "/text.png": b"no image", "/large.png": PNG + bytes(5000)}
    said = polite.say(channel, "look at these")

    def attach():
        message = polite.server.world.messages[channel][said["id"]]
        message["attachments"] = [{"id": str(i), "filename": "x", "url": files["url"] + path, "size": size,
                                   "content_type": kind} for i, (path, size, kind) in enumerate([
                                       ("/good.bin?ex=1", len(PNG), "image/png"), ("/text.png", 8, "image/png"),
                                       ("/large.png", 100, "image/png"), ("/gone.png", 8, "image/png"),
                                       ("/notes.txt", 8, "text/plain")])]

    polite.call(attach)
    model.script(text="Seen.")
    asked = polite.say(channel, f"{call(polite)} what are they?", reply_to=said["id"])
    note = ("3 images could not be read." if sees else "4 images were left out: this model does not see.")
    answered(bot, polite, asked, f"Seen.\n-# {note} An attachment was not read.")
    sent = model.requests[-1]["body"]["messages"]
    parts = [p for m in sent if isinstance(m["content"], list) for p in m["content"] if p["type"] == "image_url"]
    want = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert [p["image_url"]["url"] for p in parts] == ([want] if sees else [])


def test_one_answer_at_a_time_in_a_channel(polite, model, chats):
    bot = chats(polite, model)
    here, there = polite.channels[:2]
    model.script(text="slow " * 30, pace=15, match="first")
    first = polite.say(here, f"{call(polite)} first")
    assert model.wait(lambda: len(model.requests) == 1, 20)
    second = polite.say(here, f"{call(polite)} second")
    elsewhere = polite.say(there, f"{call(polite)} elsewhere")
    assert polite.wait(lambda: polite.replies_to(elsewhere["id"]) and polite.replies_to(second["id"]), 60)
    idle(bot)
    asked = {word: next(r for r in model.requests if r["body"]["messages"][-1]["content"].endswith(word))
             for word in ("first", "second", "elsewhere")}
    assert asked["second"]["t"] >= asked["first"]["done_t"] > asked["elsewhere"]["t"], "only the channel's next turn waits"
    assert polite.replies_to(first["id"])[0]["content"].count("slow") == 30


def test_a_model_that_fails_says_one_sentence(polite, model, chats):
    bot = chats(polite, model)
    channel = polite.channels[0]
    model.script(19, status=401, n=None)
    said = polite.say(channel, f"{call(polite)} hello")
    assert polite.wait(lambda: polite.replies_to(said["id"]), 60)
    idle(bot)
    content = polite.replies_to(said["id"])[0]["content"]
    assert content.startswith("\u26a0 ") and "\n" not in content and model.key not in content
    assert bot.logged(r" err bulkheadd: chat\.\d#1 \w+ model failed: \w+ status=401"), "its administrator sees it"
    model.calm()
    model.script(text="Better.")
    answered(bot, polite, polite.say(channel, f"{call(polite)} and now?"), "Better.")


@pytest.mark.parametrize("victim", ["chat.0", "rest", "supervisor"])
def test_killed_while_it_answers(model, chats, victim):
    with threaded.Fake(limits=False, polite=True) as fake:
        bot = chats(fake, model, keep=True)
        channel = fake.channels[0]
        whole = " ".join(f"word{i}" for i in range(120))
        model.script(text=whole, pace=20, n=None)
        said = fake.say(channel, f"{call(fake)} count")
        assert fake.wait(lambda: len(text(fake, channel)) > 60, 30)
        message = shown(fake, channel)[0]["id"]
        bot.kill(victim)
        assert fake.wait(lambda: text(fake, channel) == whole, 60), text(fake, channel)[-400:]
        assert [m["id"] for m in shown(fake, channel)] == [message], "one answer stands, in the same message"
        assert fake.replies_to(said["id"]) and len(fake.identifies) == 1


def test_try(polite, model, chats):
    bot = chats(polite, model)
    model.script(text="One line\nand \"another\".")
    assert bot.ctl("chat", "try", "say", "something") == "One line\nand \"another\".\n"
    assert told(model)[-1] == ("user", "say something")
    model.script(19, status=401, n=None)
    failed = bot.ctl_run("chat", "try", "hello")
    assert failed.returncode == 1 and "administrator" in failed.stderr and model.key not in failed.stderr
    assert bot.ctl_run("chat", "tyr", "hello").returncode == 64
    assert bot.ctl_run("chta", "try", "hello").returncode == 64
    assert bot.ctl_run("chat").returncode == 64
    # An asker that leaves takes the question along: nobody pays for words that nobody reads.
    model.calm()
    model.script(length=4000, pace=5)
    asker = subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, "chat", "try", "long"],
                             stdout=subprocess.DEVNULL)
    seen = len(model.requests)
    assert model.wait(lambda: len(model.requests) > seen or model.requests[-1]["end"] is None, 10)
    asker.kill()
    asker.wait()
    assert model.wait(lambda: model.requests[-1]["end"], 10) == "client closed"
    wait_for(lambda: bot.counters()["model_stopped"] == 1, 10, "it is counted")
    # A worker that dies takes the answer with it, and the asker is told.
    model.calm()
    model.script(length=4000, pace=5)
    asker = subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, "chat", "try", "long"],
                             stderr=subprocess.PIPE, text=True)
    seen = len(model.requests)
    assert model.wait(lambda: len(model.requests) > seen or model.requests[-1]["end"] is None, 10)
    bot.kill("chat.0")
    assert asker.wait(60) == 1 and "died" in asker.stderr.read()


def test_a_fallback_is_asked(polite, model, chats):
    """When the model fails before its first word, by a failure that another may not have; and only then."""
    with FakeModel(key="sk-of-the-spare-one", model="spare-model") as spare:
        bot = chats(polite, model, more='  fallback = "spare"', models=f'''model "spare" {{
  base_url = "{spare.url}"  api_key = "{spare.key}"  name = "{spare.model}"  fallback = "m"
}}''')
        model.script(22)
        spare.script(text="From the spare one.")
        said = polite.say(polite.channels[0], f"{call(polite)} who is there?")
        answered(bot, polite, said, "From the spare one.")
        assert spare.requests[0]["body"]["model"] == "spare-model" and told(spare) == told(model)
        wait_for(lambda: bot.counters()["model_fallbacks"] == 1, 10, "it is counted")
        assert bot.logged("spare-model is asked: AUTH")
        # What has begun to speak is the answer, whole or not.
        model.script(12)
        cut = bot.ctl_run("chat", "try", "one")
        assert cut.returncode == 1 and "broke off" in cut.stderr
        # This request is refused everywhere.
        model.script(19, status=403)
        assert bot.ctl_run("chat", "try", "two").returncode == 1
        assert len(spare.requests) == 1
        # A server that is down; the fallback has none itself.
        model.listen(False)
        model.drop()
        spare.script(text="Here.")
        assert bot.ctl("chat", "try", "three") == "Here.\n"
        spare.script(22)
        both = bot.ctl_run("chat", "try", "four")
        assert both.returncode == 1 and "API key" in both.stderr and len(spare.requests) == 3
        assert not any(key in text for key in (model.key, spare.key) for text in (bot.log(), bot.ctl("show", "config")))


def test_try_needs_no_discord(model, chats):
    bot = chats(None, model, args=["--no-gateway"])
    assert [w["name"] for w in bot.status()["workers"]] == ["chat.0"], "without a token nothing talks to Discord"
    model.script(text="Here.")
    assert bot.ctl("chat", "try", "there?") == "Here.\n"


def test_many_begin_at_once(polite, model, chats):
    """The bot's own name, which the prompt wants, is asked for once; the others wait for it."""
    bot = chats(polite, model)
    polite.slow(n=1, delay_s=0.5, method="GET", path="/users/@me$")
    said = polite.say_many([(c, f"{call(polite)} hello") for c in polite.channels[:20]])
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in said), 20)
    idle(bot)
    assert len([r for r in polite.requests if r["path"].endswith("/users/@me")]) == 1
