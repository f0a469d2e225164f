// Builds the site of the documentation: README.md and docs/ as they are in the repository, with search, into dist/docs.
// A link that leads nowhere fails the build.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize, relative, resolve } from "node:path";
import { build } from "vitepress";

const root = resolve(import.meta.dirname, "../..");
const staged = join(import.meta.dirname, "pages"); // what VitePress reads: beside its packages, which pages import from
const repository = "https://github.com/whisperer-oms/whisperer/blob/main/";

// A page of the repository is index.md for README.md, and has no docs/ before it for others.
const placeOf = (path) => (path === "README.md" ? "index.md" : path.replace(/^docs\//, "").replace(/README\.md$/, "index.md"));

// Links to what is no page of the site lead to the repository.
function rewrite(path, text) {
  return text.replace(/(\]\(|src="|srcset=")([^)\s"]+)/g, (all, before, target) => {
    if (/^([a-z]+:|#)/.test(target)) return all;
    const [file, anchor] = target.split("#");
    const to = normalize(join(dirname(path), file));
    if (!existsSync(join(root, to))) throw new Error(`${path}: there is no ${to}`);
    const end = anchor === undefined ? "" : "#" + anchor;
    if (!to.startsWith("docs/") && to !== "README.md") return before + repository + to + end;
    const there = relative(dirname(placeOf(path)), placeOf(to));
    return before + (there.startsWith(".") ? there : "./" + there) + end;
  });
}

rmSync(staged, { recursive: true, force: true });
const pages = ["README.md", ...readdirSync(join(root, "docs"), { recursive: true }).filter((f) => f.endsWith(".md")).map((f) => join("docs", f))];
for (const path of pages) {
  const to = join(staged, placeOf(path));
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, rewrite(path, readFileSync(join(root, path), "utf8")));
}
cpSync(join(root, "docs/images"), join(staged, "images"), { recursive: true });
await build(import.meta.dirname);
