import { defineConfig } from "vitepress";

const page = (text, link) => ({ text, link });

export default defineConfig({
  title: "Whisperer",
  description: "Delivers order-management events to partners' systems as webhooks",
  srcDir: "pages",
  outDir: "../../dist/docs",
  base: process.env.DOCS_BASE ?? "/",
  cleanUrls: false,
  lastUpdated: false,
  // The anchors that GitHub gives headings, which the pages link to.
  markdown: { languageAlias: { cel: "js" }, anchor: { slugify: (s) => s.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-") } },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    socialLinks: [{ icon: "github", link: "https://github.com/whisperer-oms/whisperer" }],
    nav: [page("Concepts", "/concepts"), page("API", "/reference"), page("Command line", "/cli"), page("Changelog", "/CHANGELOG")],
    sidebar: [
      { text: "Begin", items: [page("Overview", "/"), page("Concepts", "/concepts"), page("Comparison", "/comparison")] },
      { text: "Publish", items: [page("Quick start", "/quickstart-publishers"), page("Publishing", "/publishing")] },
      {
        text: "Receive",
        items: [
          page("Quick start", "/quickstart-integrators"), page("Receiving webhooks", "/receiving"), page("Filters", "/filters"),
          page("Transforms", "/transforms"), page("Migrating from Django", "/django"),
        ],
      },
      {
        text: "Operate",
        items: [
          page("Quick start", "/quickstart-operators"), page("Operations", "/operations"), page("Configuration", "/configuration"),
          page("Console", "/console"), page("Alerts", "/alerts"), page("Limits", "/limits"), page("Scaling", "/scaling"), page("Security", "/security"),
        ],
      },
      { text: "Reference", items: [page("API", "/reference"), page("Command line", "/cli"), page("Conformance", "/conformance"), page("Performance", "/performance")] },
      { text: "Change it", items: [page("Architecture", "/architecture"), page("Decisions", "/decisions/"), page("Changelog", "/CHANGELOG")] },
    ],
    footer: { message: "Apache 2.0" },
  },
});
