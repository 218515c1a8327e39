"""The routes that do something: {operation: handler(server, params, query, body) -> (status, result)}."""

import time

INTERACTION = ("/interactions/", "/webhooks/{webhook_id}/{webhook_token}")
CONTENT_MAX = 2000

# Operations that have a bucket of their own, by its name; None: no bucket.
BUCKETS = {
    "create_message": "messages",
    "update_message": "edits",
    "delete_message": "deletes",
    "add_my_message_reaction": "reactions",
    "delete_my_message_reaction": "reactions",
    "trigger_typing_indicator": "typing",
    "list_messages": "history",
    "get_message": "history",
    "get_gateway": None,
    "get_bot_gateway": None,
}


class Refused(Exception):
    def __init__(self, status, code, message, errors=None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors


def channel_of(server, params):
    channel = server.world.channels.get(params["channel_id"])
    if channel is None:
        raise Refused(404, 10003, "Unknown Channel")
    return channel


def guild_of(server, params):
    if params["guild_id"] != server.world.guild_id:
        raise Refused(404, 10004, "Unknown Guild")
    return server.world.guild()


def message_of(server, params):
    channel = channel_of(server, params)
    message = server.world.messages[channel["id"]].get(params["message_id"])
    if message is None:
        raise Refused(404, 10008, "Unknown Message")
    return message


def own(server, message):
    if message["author"]["id"] != server.world.bot["id"]:
        raise Refused(403, 50005, "Cannot edit a message authored by another user")
    return message


def content_of(body):
    content = body.get("content") or ""
    if len(content) > CONTENT_MAX:
        raise Refused(400, 50035, "Invalid Form Body", {"content": {"_errors": [
            {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length."}]}})
    return content


def create_message(server, params, query, body):
    world = server.world
    channel = channel_of(server, params)
    now = time.monotonic()
    nonce = body.get("nonce")
    author = world.bot
    if nonce is not None and body.get("enforce_nonce"):
        seen = world.nonce_seen(author["id"], nonce, now)
        if seen:
            message = world.messages[seen[0]].get(seen[1])
            server.records.add("posts", method="POST", channel_id=channel["id"], id=seen[1], nonce=nonce,
                               content=body.get("content"), bot=author["id"], body=body, again=True)
            if message is None:
                raise Refused(404, 10008, "Unknown Message")
            return 200, message
    content = content_of(body)
    if not content.strip() and not any(body.get(k) for k in ("embeds", "sticker_ids", "components", "attachments",
                                                             "poll", "shared_client_theme")):
        raise Refused(400, 50006, "Cannot send an empty message")
    reference = body.get("message_reference")
    if reference:
        reference = {k: str(v) for k, v in reference.items() if k in ("message_id", "channel_id", "guild_id") and v}
        exists = reference["message_id"] in world.messages[channel["id"]]
        if not exists and body["message_reference"].get("fail_if_not_exists", True):
            raise Refused(400, 50035, "Invalid Form Body", {"message_reference": {"_errors": [
                {"code": "REPLIES_UNKNOWN_MESSAGE", "message": "Unknown message"}]}})
        if not exists:
            reference = None
    allowed = body.get("allowed_mentions")
    message = world.create(channel["id"], author, content, nonce=nonce, reference=reference,
                           embeds=body.get("embeds") or (), flags=body.get("flags") or 0,
                           tts=bool(body.get("tts")),
                           mention_reply=allowed is None or bool(allowed.get("replied_user")))
    if nonce is not None:
        world.nonce_keep(author["id"], nonce, now, channel["id"], message["id"])
    server.records.add("posts", t=now, method="POST", channel_id=channel["id"], id=message["id"], nonce=nonce,
                       content=content, bot=author["id"], body=body, again=False, message=message)
    server.records.show("answer", channel_id=channel["id"], id=message["id"], content=content,
                        reference=reference and reference["message_id"])
    server.gateway.dispatch("MESSAGE_CREATE", world.event(message), channel["id"])
    return 200, message


def update_message(server, params, query, body):
    world = server.world
    message = own(server, message_of(server, params))
    content = content_of(body) if body.get("content") is not None else None
    if content == "" and not body.get("embeds", message["embeds"]):
        raise Refused(400, 50006, "Cannot send an empty message")
    world.edit(message, content=content, embeds=body.get("embeds"), flags=body.get("flags"))
    server.records.add("posts", method="PATCH", channel_id=message["channel_id"], id=message["id"], nonce=None,
                       content=content, bot=world.bot["id"], body=body, again=False, message=dict(message))
    server.records.show("answer_edit", channel_id=message["channel_id"], id=message["id"],
                        content=message["content"])
    server.gateway.dispatch("MESSAGE_UPDATE", world.event(message), message["channel_id"])
    return 200, message


def delete_message(server, params, query, body):
    message = message_of(server, params)
    server.delete(message["channel_id"], message["id"])
    return 204, None


def bulk_delete(server, params, query, body):
    channel = channel_of(server, params)
    for message_id in map(str, body["messages"]):
        if message_id in server.world.messages[channel["id"]]:
            server.delete(channel["id"], message_id)
    return 204, None


def list_messages(server, params, query, body):
    channel = channel_of(server, params)
    given = [k for k in ("around", "before", "after") if query.get(k)]
    if len(given) > 1:
        raise Refused(400, 50035, "Invalid Form Body", {"_errors": [
            {"code": "MUTUALLY_EXCLUSIVE", "message": f"Only one of {', '.join(given)} may be given."}]})
    rows = server.world.history(channel["id"], int(query.get("limit") or 50), **{k: query[k] for k in given})
    return 200, [server.readable(m) for m in rows]


def get_message(server, params, query, body):
    return 200, server.readable(message_of(server, params))


def typing(server, params, query, body):
    channel = channel_of(server, params)
    d = {"channel_id": channel["id"], "user_id": server.world.bot["id"], "timestamp": int(time.time())}
    if "guild_id" in channel:
        d["guild_id"] = channel["guild_id"]
    server.records.show("typing", channel_id=channel["id"])
    server.gateway.dispatch("TYPING_START", d, channel["id"])
    return 204, None


def react(server, params, query, body):
    message = message_of(server, params)
    server.react(message["channel_id"], message["id"], params["emoji_name"], server.world.bot["id"])
    return 204, None


def unreact(server, params, query, body):
    message = message_of(server, params)
    server.react(message["channel_id"], message["id"], params["emoji_name"], server.world.bot["id"], remove=True)
    return 204, None


def get_gateway(server, params, query, body):
    return 200, {"url": server.gateway_url_told}


def get_bot_gateway(server, params, query, body):
    opts, gateway = server.opts, server.gateway
    return 200, {"url": server.gateway_url_told, "shards": opts.shards,
                 "session_start_limit": {"total": opts.identify_total, "remaining": gateway.identifies_left,
                                         "reset_after": opts.identify_reset_ms,
                                         "max_concurrency": opts.max_concurrency}}


def get_user(server, params, query, body):
    user = server.world.users.get(params["user_id"])
    if user is None:
        raise Refused(404, 10013, "Unknown User")
    return 200, user


def get_member(server, params, query, body):
    guild_of(server, params)
    user = server.world.users.get(params["user_id"])
    if user is None:
        raise Refused(404, 10007, "Unknown Member")
    return 200, server.world.member(user)


def list_members(server, params, query, body):
    guild_of(server, params)
    if not server.opts.privileged & 1 << 1:
        raise Refused(403, 50001, "Missing Access")
    after, limit = int(query.get("after") or 0), int(query.get("limit") or 1)
    users = sorted((u for u in server.world.users.values() if int(u["id"]) > after), key=lambda u: int(u["id"]))
    return 200, [server.world.member(u) for u in users[:limit]]


def create_dm(server, params, query, body):
    recipient_id = str(body.get("recipient_id"))
    if recipient_id not in server.world.users:
        raise Refused(400, 50033, "Invalid Recipient(s)")
    return 200, server.world.open_dm(recipient_id)


def guild_channels(server, params, query, body):
    guild_of(server, params)
    return 200, [c for c in server.world.channels.values() if c["type"] == 0]


def guild_roles(server, params, query, body):
    guild_of(server, params)
    return 200, server.world.roles()


def my_guilds(server, params, query, body):
    guild = server.world.guild()
    return 200, [{k: guild[k] for k in ("id", "name", "icon", "banner", "features")}
                 | {"owner": False, "permissions": server.world.roles()[0]["permissions"]}]


def callback(server, params, query, body):
    """The first answer counts."""
    interaction_id = params["interaction_id"]
    if server.interactions.get(params["interaction_token"]) != interaction_id:
        raise Refused(404, 10062, "Unknown interaction")
    if interaction_id in server.callbacks:
        raise Refused(400, 40060, "Interaction has already been acknowledged.")
    server.callbacks[interaction_id] = body
    server.records.show("callback", id=interaction_id, content=(body.get("data") or {}).get("content", ""))
    return 204, None


def no_webhook(server, params, query, body):
    raise Refused(404, 10015, "Unknown Webhook")


ROUTES = {
    "create_message": create_message,
    "update_message": update_message,
    "delete_message": delete_message,
    "bulk_delete_messages": bulk_delete,
    "list_messages": list_messages,
    "get_message": get_message,
    "trigger_typing_indicator": typing,
    "add_my_message_reaction": react,
    "delete_my_message_reaction": unreact,
    "get_gateway": get_gateway,
    "get_bot_gateway": get_bot_gateway,
    "get_my_user": lambda s, p, q, b: (200, {**s.world.bot, "email": None, "verified": True, "mfa_enabled": True,
                                             "locale": "en-US", "premium_type": 0}),
    "get_user": get_user,
    "get_my_application": lambda s, p, q, b: (200, s.world.application()),
    "get_my_oauth2_application": lambda s, p, q, b: (200, s.world.application()),
    "get_channel": lambda s, p, q, b: (200, channel_of(s, p)),
    "get_guild": lambda s, p, q, b: (200, guild_of(s, p)),
    "list_guild_channels": guild_channels,
    "list_guild_roles": guild_roles,
    "list_guild_members": list_members,
    "get_guild_member": get_member,
    "list_my_guilds": my_guilds,
    "create_dm": create_dm,
    "create_interaction_response": callback,
    "execute_webhook": no_webhook,
    "get_original_webhook_message": no_webhook,
    "update_original_webhook_message": no_webhook,
    "delete_original_webhook_message": no_webhook,
    "list_application_commands": lambda s, p, q, b: (200, []),
}
