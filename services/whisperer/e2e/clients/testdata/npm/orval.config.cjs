// The base of all URLs is the document's first server.
module.exports = {
  whisperer: {
    input: "./openapi.json",
    output: { target: "./orval-client.ts", client: "fetch", baseUrl: { getBaseUrlFromSpecification: true } },
  },
};
