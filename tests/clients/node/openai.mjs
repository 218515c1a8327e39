// The official client.  Commands: {call, base, key, body, retries, timeout_ms, abort_after}.

import OpenAI from 'openai';
import { serve } from './lines.mjs';

const COMPLETIONS = {
	async create(client, { body }) {
		const { data, request_id } = await client.chat.completions.create(body).withResponse();
		const { message, finish_reason } = data.choices[0];
		return { text: message.content, finish: finish_reason, usage: data.usage, request_id };
	},

	// Chunk by chunk.  abort_after: the client lets go after so many characters.
	async stream(client, { body, abort_after }) {
		const said = { text: '', reasoning: '', refusal: '', finish: [], usage: null, chunks: 0 };
		const stream = await client.chat.completions.create({ ...body, stream: true });
		try {
			for await (const chunk of stream) {
				said.chunks++;
				said.usage = chunk.usage ?? said.usage;
				for (const { delta, finish_reason } of chunk.choices) {
					said.text += delta?.content ?? '';
					said.reasoning += delta?.reasoning_content ?? delta?.reasoning ?? '';
					said.refusal += delta?.refusal ?? '';
					if (finish_reason)
						said.finish.push(finish_reason);
				}
				if (abort_after !== undefined && said.text.length >= abort_after) {
					stream.controller.abort();
					said.aborted = true;
				}
			}
		} catch (e) {
			said.thrown = e.constructor.name;
			said.message = e.message;
		}
		return said;
	},

	// The client's own accumulator, which tool calls need.
	async gather(client, { body }) {
		const done = await client.chat.completions.stream(body).finalChatCompletion();
		const { message, finish_reason } = done.choices[0];
		const calls = (message.tool_calls ?? []).map((c) => [c.id, c.function.name, c.function.arguments]);
		return { text: message.content, finish: finish_reason, calls, usage: done.usage };
	},

	async models(client) {
		return (await client.models.list()).data.map((m) => m.id);
	},
};

function run({ call, base, key, retries = 0, timeout_ms = 10000, ...rest }) {
	const client = new OpenAI({ baseURL: base, apiKey: key, maxRetries: retries, timeout: timeout_ms, logLevel: 'off' });
	return COMPLETIONS[call](client, rest);
}

serve(run);
