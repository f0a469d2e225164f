// Package api has the wire types of the HTTP API. The server, the client, the CLI and the manifest all use them.
//
// The tags of a body's fields describe them in the API's document. wire gives the JSON type of a field if the Go type
// does not determine it: an object, text, or event types as one or a list.
package api
