// Draws what `make run` prints, as it comes, into docs/images/run.svg: make animation.
// It starts the program on a folder of its own, in a terminal that util-linux' script makes.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const columns = 140, rows = 40, seconds = 14;

const dir = mkdtempSync(join(tmpdir(), "whisperer-terminal-"));
const program = spawn("script", ["-qfec", `stty cols ${columns} rows ${rows}; exec ${join(root, "bin/whisperer")} standalone --speed 2`, "/dev/null"], {
  cwd: dir, stdio: ["pipe", "pipe", "inherit"], detached: true, env: { ...process.env, TERM: "xterm-256color" },
});
const lines = [];
let text = "", began;
program.stdout.setEncoding("utf8");
program.stdout.on("data", (chunk) => {
  began ??= Date.now();
  text += chunk;
  for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) lines.push({ at: (Date.now() - began) / 1000, text: text.slice(0, end).replace(/\r/g, "") });
});
setTimeout(() => process.kill(-program.pid, "SIGINT"), (seconds + 20) * 1000).unref();
await new Promise((done) => { const wait = setInterval(() => { if (began && Date.now() - began > seconds * 1000) { clearInterval(wait); done(); } }, 100); });
const shown = lines.filter((l) => !l.text.includes("(data in ")).slice(0, rows); // which is so for root alone
process.kill(-program.pid, "SIGINT");
await new Promise((done) => program.on("close", done));
rmSync(dir, { recursive: true, force: true });

// What is secret on this machine is secret in the picture.
const plain = (s) => s.replaceAll(join(root, "bin/"), "bin/").replace(/wsp_\w{8,}/g, "wsp_9XKq…").replace(/(postgres:\/\/\w+:)[^@]+@/g, "$1…@").replace(/Whisperer \S+ is/, "Whisperer is");
const escape = (s) => s.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const colors = { 1: "b", 2: "d", 31: "r", 32: "g" };
function spans(line) {
  let kind = "", out = "";
  for (const part of plain(line).split(/(\x1b\[[0-9;]*m)/)) {
    const sgr = part.match(/^\x1b\[([0-9;]*)m$/);
    if (sgr) kind = colors[sgr[1]] ?? "";
    else if (part) out += kind ? `<tspan class="${kind}">${escape(part)}</tspan>` : escape(part);
  }
  return out;
}

const height = 18, pad = 14, wide = columns * 7.85 + 2 * pad, tall = (shown.length + 1) * height + 2 * pad, loop = seconds + 4;
const percent = (s) => ((100 * s) / loop).toFixed(2);
const frames = shown.map((l, i) => `@keyframes l${i}{0%,${percent(0.4 + l.at)}%{opacity:0}${percent(0.5 + l.at)}%,100%{opacity:1}}.l${i}{animation:l${i} ${loop}s infinite}`).join("");
const body = shown.map((l, i) => `<text class="l${i}" x="${pad}" y="${pad + (i + 2) * height - 5}" xml:space="preserve">${spans(l.text)}</text>`).join("\n");
writeFileSync(join(root, "docs/images/run.svg"), `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${tall}" width="${wide}" height="${tall}" role="img" aria-label="What make run prints">
<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d6deeb}.b{font-weight:700;fill:#fff}.d{fill:#7f8ea3}.r{fill:#ff6b6b}.g{fill:#4ade80}${frames}
@media (prefers-reduced-motion:reduce){text{animation:none!important}}</style>
<rect width="100%" height="100%" rx="8" fill="#11151c"/>
<text x="${pad}" y="${pad + height - 5}" xml:space="preserve"><tspan class="g">$</tspan> make run</text>
${body}
</svg>
`);
