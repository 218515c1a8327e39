"""The guild, its channels, its users and what they said.  Knows no sockets."""

import collections
import re
import time
from datetime import datetime, timezone

EPOCH_MS = 1420070400000
BASE_MS = 1700000000000             # the world's own ids are the same in every run
MESSAGES_PER_CHANNEL = 20000
ALL_PERMISSIONS = str((1 << 53) - 1)
MENTION = re.compile(r"<@!?(\d+)>")


def snowflake(ms, increment=0):
    return str((ms - EPOCH_MS) << 22 | increment)


def iso(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")


class World:
    def __init__(self, opts):
        self.opts = opts
        self.last_id = 0
        self.application_id = snowflake(BASE_MS, 1)
        self.bot = self.user(1, "bulkhead-test", bot=True)
        self.people = [self.user(10 + i, f"user{i}") for i in range(opts.members)]
        self.users = {u["id"]: u for u in [self.bot, *self.people]}
        self.guild_id = snowflake(BASE_MS, 1000)
        self.channels = collections.OrderedDict()
        for i in range(opts.channels):
            channel = self.text_channel(i)
            self.channels[channel["id"]] = channel
        self.dm_id = self.open_dm(self.people[0]["id"], snowflake(BASE_MS, 1999))["id"]
        self.messages = {c: collections.OrderedDict() for c in self.channels}
        self.nonces = {}

    @staticmethod
    def user(n, name, bot=False):
        return {"id": snowflake(BASE_MS, n), "username": name, "discriminator": "0000", "global_name": None,
                "avatar": None, "bot": bot, "system": False, "public_flags": 0, "flags": 0,
                "banner": None, "accent_color": None, "avatar_decoration_data": None, "collectibles": None,
                "clan": None, "primary_guild": None}

    def text_channel(self, i):
        return {"id": snowflake(BASE_MS, 2000 + i), "type": 0, "guild_id": self.guild_id, "name": f"channel-{i}",
                "position": i, "topic": None, "nsfw": False, "rate_limit_per_user": 0, "parent_id": None,
                "last_message_id": None, "permission_overwrites": [], "flags": 0}

    def open_dm(self, recipient_id, channel_id=None):
        for channel in self.channels.values():
            if channel["type"] == 1 and channel["recipients"][0]["id"] == recipient_id:
                return channel
        channel = {"id": channel_id or self.new_id(), "type": 1, "recipients": [self.users[recipient_id]],
                   "last_message_id": None, "flags": 0}
        self.channels[channel["id"]] = channel
        if channel_id is None:
            self.messages[channel["id"]] = collections.OrderedDict()
        return channel

    @property
    def text_channels(self):
        return [c for c, ch in self.channels.items() if ch["type"] == 0]

    def new_id(self):
        self.last_id = max(self.last_id + 1, (int(time.time() * 1000) - EPOCH_MS) << 22)
        return str(self.last_id)

    def member(self, user, with_user=True):
        m = {"nick": None, "avatar": None, "banner": None, "roles": [], "joined_at": iso(BASE_MS / 1000),
             "premium_since": None, "deaf": False, "mute": False, "flags": 0, "pending": False,
             "communication_disabled_until": None}
        if with_user:
            m["user"] = user
        return m

    def roles(self):
        return [{"id": self.guild_id, "name": "@everyone", "color": 0, "colors": {"primary_color": 0,
                 "secondary_color": None, "tertiary_color": None}, "hoist": False, "icon": None,
                 "unicode_emoji": None, "position": 0, "permissions": ALL_PERMISSIONS, "managed": False,
                 "mentionable": False, "flags": 0}]

    def guild(self):
        return {"id": self.guild_id, "name": "fake guild", "icon": None, "icon_hash": None, "splash": None,
                "discovery_splash": None, "owner_id": self.people[0]["id"], "afk_channel_id": None,
                "afk_timeout": 300, "verification_level": 0, "default_message_notifications": 0,
                "explicit_content_filter": 0, "roles": self.roles(), "emojis": [], "stickers": [],
                "features": [], "mfa_level": 0, "application_id": None, "system_channel_id": None,
                "system_channel_flags": 0, "rules_channel_id": None, "max_presences": None,
                "max_members": 500000, "vanity_url_code": None, "description": None, "banner": None,
                "premium_tier": 0, "premium_subscription_count": 0, "preferred_locale": "en-US",
                "public_updates_channel_id": None, "safety_alerts_channel_id": None, "nsfw_level": 0,
                "nsfw": False, "premium_progress_bar_enabled": False, "widget_enabled": False,
                "widget_channel_id": None, "region": "us-east", "hub_type": None}

    def guild_create(self, all_members):
        """d of GUILD_CREATE; without GUILD_PRESENCES the bot is its only member."""
        users = self.users.values() if all_members else [self.bot]
        channels = [{k: v for k, v in c.items() if k != "guild_id"}
                    for c in self.channels.values() if c["type"] == 0]
        return {**self.guild(), "joined_at": iso(BASE_MS / 1000), "large": False, "unavailable": False,
                "member_count": len(self.users), "voice_states": [], "threads": [], "presences": [],
                "members": [self.member(u) for u in users], "channels": channels, "stage_instances": [],
                "guild_scheduled_events": [], "soundboard_sounds": []}

    def application(self):
        flags = 0
        for bit, flag in ((8, 12), (1, 14), (15, 18)):
            if self.opts.privileged & 1 << bit:
                flags |= 1 << flag
        return {"id": self.application_id, "name": "bulkhead-test", "icon": None, "description": "",
                "summary": "", "type": None, "bot_public": False, "bot_require_code_grant": False,
                "is_monetized": False, "hook": True, "flags": flags, "flags_new": str(flags),
                "verify_key": "00" * 32, "owner": self.people[0], "team": None, "bot": self.bot,
                "interactions_endpoint_url": None, "rpc_origins": [], "redirect_uris": [],
                "approximate_guild_count": 1}

    # Messages

    def create(self, channel_id, author, content, *, nonce=None, reference=None, embeds=(), flags=0, tts=False,
               mention_reply=True):
        channel = self.channels[channel_id]
        now = time.time()
        mentions = {u: self.users[u] for u in MENTION.findall(content) if u in self.users}
        message = {"id": self.new_id(), "channel_id": channel_id, "type": 0, "author": author,
                   "content": content, "timestamp": iso(now), "edited_timestamp": None, "tts": tts,
                   "mention_everyone": False, "mentions": [], "mention_roles": [], "attachments": [],
                   "embeds": list(embeds), "components": [], "pinned": False, "flags": flags}
        if nonce is not None:
            message["nonce"] = nonce
        if reference:
            message["type"] = 19
            message["message_reference"] = {"type": 0, "channel_id": channel_id, **reference}
            if "guild_id" in channel:
                message["message_reference"].setdefault("guild_id", channel["guild_id"])
            target = self.messages[channel_id].get(reference["message_id"])
            message["referenced_message"] = dict(target, referenced_message=None) if target else None
            if target and mention_reply:
                mentions[target["author"]["id"]] = target["author"]
        message["mentions"] = list(mentions.values())
        store = self.messages[channel_id]
        store[message["id"]] = message
        if len(store) > MESSAGES_PER_CHANNEL:
            store.popitem(last=False)
        channel["last_message_id"] = message["id"]
        return message

    def edit(self, message, **changes):
        message.update({k: v for k, v in changes.items() if v is not None})
        message["edited_timestamp"] = iso(time.time())
        return message

    def delete(self, channel_id, message_id):
        return self.messages[channel_id].pop(message_id)

    def history(self, channel_id, limit=50, before=None, after=None, around=None):
        """Newest first, as Discord lists them."""
        rows = list(self.messages[channel_id].values())
        if around is not None:
            # By count, not by distance: ids of one millisecond stand close together.
            older = [m for m in rows if int(m["id"]) < int(around)]
            rest = [m for m in rows if int(m["id"]) >= int(around)]
            half = limit // 2
            rows = (older[-half:] if half else []) + rest[:limit - min(half, len(older))]
        elif after is not None:
            rows = [m for m in rows if int(m["id"]) > int(after)][:limit]
        else:
            if before is not None:
                rows = [m for m in rows if int(m["id"]) < int(before)]
            rows = rows[-limit:]
        return rows[::-1]

    def event(self, message):
        """d of MESSAGE_CREATE or MESSAGE_UPDATE."""
        channel = self.channels[message["channel_id"]]
        d = dict(message, channel_type=channel["type"])
        if "guild_id" in channel:
            d["guild_id"] = channel["guild_id"]
            d["member"] = self.member(None, with_user=False)
        return d

    def content_visible(self, d):
        """Without MESSAGE_CONTENT: own messages, DMs and mentions of the bot keep their content."""
        return ("guild_id" not in d or d["author"]["id"] == self.bot["id"]
                or any(u["id"] == self.bot["id"] for u in d["mentions"]))

    # Nonces

    def nonce_seen(self, author_id, nonce, now):
        """The (channel, message) that this nonce made, while it is remembered."""
        while self.nonces:
            key, (t, _, _) = next(iter(self.nonces.items()))
            if now - t < self.opts.nonce_ttl_s:
                break
            del self.nonces[key]
        hit = self.nonces.get((author_id, str(nonce)))
        return hit and hit[1:]

    def nonce_keep(self, author_id, nonce, now, channel_id, message_id):
        self.nonces.setdefault((author_id, str(nonce)), (now, channel_id, message_id))
