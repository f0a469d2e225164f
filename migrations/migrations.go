// Package migrations carries the database schema: goose migrations, embedded, so that every binary can check and apply them.
package migrations

import "embed"

// FS holds the goose SQL files, ordered by their numeric prefix.
//
//go:embed *.sql
var FS embed.FS
