// A discord.js bot: node bot.mjs {"api", "token", "compress"}.  It tells what its client sees, one event on a line.
// Commands: {call: "channels"} {call: "send", channel_id, content}.

import { Client, Events, GatewayIntentBits, Partials, SimpleShardingStrategy } from 'discord.js';
import { describe, serve, tell } from './lines.mjs';

const { api, token, compress = false } = JSON.parse(process.argv[2]);

// Asked for zlib-stream, which needs a module that is not installed here, it uses the compression of IDENTIFY instead.
function buildStrategy(manager) {
	manager.options.compression = compress ? 'zlib-stream' : null;
	return new SimpleShardingStrategy(manager);
}

const client = new Client({
	intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.GuildMessageReactions,
		GatewayIntentBits.DirectMessages, GatewayIntentBits.MessageContent],
	partials: [Partials.Channel],
	rest: { api, timeout: 5000 },
	ws: { buildStrategy },
});

client.on(Events.ClientReady, () => (
	tell({ event: 'ready', user: client.user.id, guilds: [...client.guilds.cache.keys()] })));
client.on(Events.ShardResume, (_, replayed) => tell({ event: 'resumed', replayed }));
client.on(Events.ShardReconnecting, () => tell({ event: 'reconnecting' }));
client.on(Events.ShardDisconnect, ({ code }) => tell({ event: 'disconnect', code }));
client.on(Events.Error, (e) => tell({ event: 'error', ...describe(e) }));
client.on(Events.MessageUpdate, (_, m) => tell({ event: 'edited', id: m.id, content: m.content }));
client.on(Events.MessageDelete, (m) => tell({ event: 'deleted', id: m.id }));
client.on(Events.MessageReactionAdd, (r) => tell({ event: 'reaction', emoji: r.emoji.name }));
client.rest.on('rateLimited', ({ scope, timeToReset }) => tell({ event: 'limited', scope, ms: timeToReset }));

client.on(Events.MessageCreate, async (message) => {
	if (message.author.id === client.user.id)
		return;
	tell({ event: 'message', id: message.id, content: message.content, dm: message.guildId === null });
	try {
		if (message.content === '!ping') {
			await message.reply('pong');
		} else if (message.content === '!all') {
			await message.channel.sendTyping();
			const sent = await message.channel.send({ content: 'one', nonce: '77', enforceNonce: true });
			await sent.edit('two');
			await sent.react('👍');
			const history = await message.channel.messages.fetch({ limit: 2 });
			const dm = await message.author.createDM();
			await dm.send([...history.values()].map((m) => m.content).join('|'));
			await sent.delete();
			tell({ event: 'all done' });
		}
	} catch (e) {
		tell({ event: 'error', ...describe(e) });
	}
});

const calls = {
	channels: () => [...client.guilds.cache.values()].flatMap((g) => [...g.channels.cache.keys()]),
	send: async ({ channel_id, content }) => (await (await client.channels.fetch(channel_id)).send(content)).id,
};

async function end() {
	await client.destroy();
	process.exit(0);
}

serve(({ call, ...rest }) => calls[call](rest), end);
try {
	await client.login(token);
} catch (e) {
	tell({ event: 'login failed', ...describe(e) });
}
