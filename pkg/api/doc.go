// Package api has the wire types of the HTTP API: what its server writes, and its client, the CLI and the manifest read.
package api
