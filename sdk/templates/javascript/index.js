// Tells which security headers a page has, as a region sees it.

// The host's side: what there is stands in .blitz/sdk/wit.
import { emit } from 'blitz:plugin/events@0.1.0';
import { exchange } from 'blitz:plugin/web@0.1.0';

const WANTED = ['strict-transport-security', 'content-security-policy', 'x-content-type-options'];

/** The plugin: `blitz plugin build` looks for an export of this name. */
export const tool = {
  // The manifest is packed into the file from plugin.toml, and is read there.
  describe() {
    return '';
  },

  /** One job. The number is the exit status, 0 to 255. */
  run({ args, region }) {
    let answer;
    try {
      answer = get(args[0]);
    } catch (error) {
      // What the host refused, or what the network said, is in `payload`.
      console.error(`{{name}}: ${error.payload?.text ?? error}`);
      return 1;
    }
    const given = new Set(answer.headers.map(([name]) => name.toLowerCase()));
    const missing = WANTED.filter((name) => !given.has(name));
    // For people: standard output.
    for (const name of WANTED) {
      console.log(`${given.has(name) ? 'has    ' : 'misses '} ${name}`);
    }
    // For programs and tables: a record, as JSON.
    emit('headers', JSON.stringify({ region, status: answer.status, missing, missing_count: missing.length }));
    return missing.length === 0 ? 0 : 1;
  },
};

/** One HTTP exchange. What is left undefined is the host's choice. */
function get(url) {
  return exchange({
    method: 'GET',
    url,
    headers: [],
    version: 'any',
    verify: true,
    family: 'any',
    addresses: [],
    timeoutMs: 20_000n,
  });
}
