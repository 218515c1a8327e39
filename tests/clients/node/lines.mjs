// JSON on lines: commands come on stdin, answers and events go to stdout.  The end of stdin ends the program.

import readline from 'node:readline';

export function tell(what) {
	process.stdout.write(JSON.stringify(what) + '\n');
}

// Calls run(command) for each line; commands run side by side, each answer carries the command's id.
export function serve(run, end = () => process.exit(0)) {
	const lines = readline.createInterface({ input: process.stdin });
	lines.on('line', async (line) => {
		const { id, ...command } = JSON.parse(line);
		try {
			tell({ id, result: (await run(command)) ?? null });
		} catch (e) {
			tell({ id, error: describe(e) });
		}
	});
	lines.on('close', end);
}

export function describe(e) {
	const { name, message, status, code, type, param, requestID } = e;
	return { name: e.constructor?.name ?? name, message, status, code, type, param, request_id: requestID };
}
