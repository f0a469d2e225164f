// What the clients of both generators are put through.

export const settings = {
  url: must("WHISPERER_URL"),
  token: must("WHISPERER_TOKEN"),
  receiver: must("RECEIVER"),
};

function must(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

export function check(what: string, good: boolean): asserts good {
  if (!good) throw new Error(`${what}: not so`);
  console.log(`ok: ${what}`);
}

/** Asks until there is an answer. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) {
      console.log(`ok: ${what}`);
      return answer;
    }
    if (Date.now() > end) throw new Error(`${what}: not within a minute`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
