// Checks several pages one after another, and says which of them is slow or broken.

import { emit } from 'blitz:plugin/events@0.1.0';
import { exchange } from 'blitz:plugin/web@0.1.0';

const SLOW_MS = 1000;

export const tool = {
  // The manifest is packed into the file from plugin.toml, and is read there.
  describe() {
    return '';
  },

  run({ args }) {
    const { slowMs, urls } = parse(args);
    const checks = urls.map((url) => check(url, slowMs));
    for (const { url, status, firstByteMs, problem } of checks) {
      console.log(`${problem ? 'BAD' : 'ok '} ${status ?? '---'} ${String(firstByteMs ?? '-').padStart(6)} ms  ${url}`);
      emit('status', JSON.stringify({ url, status, first_byte_ms: firstByteMs, problem }));
      if (problem) console.error(`status: ${url}: ${problem}`);
    }
    return checks.some(({ problem }) => problem) ? 1 : 0;
  },
};

/** Command lines reach a plugin only when they fit plugin.toml. */
function parse(args) {
  const urls = [];
  let slowMs = SLOW_MS;
  for (let i = 0; i < args.length; i += 1) {
    if (args[i] === '--slow') slowMs = Number(args[(i += 1)]);
    else if (args[i].startsWith('--slow=')) slowMs = Number(args[i].slice('--slow='.length));
    else if (args[i] !== '--') urls.push(args[i]);
  }
  return { slowMs, urls };
}

function check(url, slowMs) {
  try {
    const { status, phases } = exchange({
      method: 'GET',
      url,
      headers: [['user-agent', new TextEncoder().encode('blitz-status')]],
      version: 'any',
      verify: true,
      family: 'any',
      addresses: [],
      timeoutMs: 20_000n,
    });
    const firstByteMs = Number(phases.firstByteUs / 1000n);
    let problem;
    if (status >= 400) problem = `status ${status}`;
    else if (firstByteMs > slowMs) problem = `first byte after ${firstByteMs} ms, more than ${slowMs}`;
    return { url, status, firstByteMs, problem };
  } catch (error) {
    // What the host refused, or what the network said, is in `payload`.
    return { url, problem: error.payload?.text ?? String(error) };
  }
}
