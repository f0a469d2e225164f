// Package api has the wire types of the HTTP API, each once: its server, its client, the CLI and the manifest read and write them.
//
// The tags of a body's fields are what the API's document says of them; wire is how it takes a field of which the type does not say it:
// an object, text, or event types as one or a list.
package api
