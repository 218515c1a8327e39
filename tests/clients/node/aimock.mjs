// A model server that is not ours.  Its first line is {url}; it ends with stdin.
// Commands: {call: "on", pattern, content, tps, chunk} {call: "fail", status, message} {call: "requests"}.

import { LLMock } from '@copilotkit/aimock';
import { serve, tell } from './lines.mjs';

const mock = new LLMock({ port: 0, host: '127.0.0.1', chunkSize: 8, journalMaxEntries: 0 });
let n = 0;

// What no pattern takes is answered too, each time in other words.
function otherwise({ messages }) {
	const last = messages.findLast((m) => m.role === 'user')?.content;
	return { content: `Mock answer ${++n} ${Math.random().toString(36).slice(2)} to: ${JSON.stringify(last)}` };
}

const calls = {
	on({ pattern, content, tps, chunk }) {
		const streamingProfile = tps ? { ttft: 0, tps, jitter: 0 } : undefined;
		mock.prependFixture({
			match: { userMessage: new RegExp(pattern) }, response: { content }, streamingProfile, chunkSize: chunk,
		});
	},
	fail({ status, message }) {
		mock.nextRequestError(status, { message });
	},
	requests() {
		return mock.getRequests().map(({ method, path, headers, body, response }) => (
			{ method, path, headers, body, status: response?.status }));
	},
};

mock.on({}, otherwise);
await mock.start();
tell({ url: `${mock.url}/v1` });
serve(({ call, ...rest }) => calls[call](rest), async () => {
	await mock.stop();
	process.exit(0);
});
