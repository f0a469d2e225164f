// Package localpg runs a private PostgreSQL server from the binaries that are on the machine, for the one-command
// try-out and for tests. It needs no container engine, no root and no running service:
//
//	server, err := localpg.Start(ctx, localpg.Options{})       // throw-away: gone after Stop
//	server, err := localpg.Start(ctx, localpg.Options{DataDir: ".whisperer/postgres", TCP: true}) // kept
//
// A throw-away cluster lives in memory where there is room, runs without fsync and is a copy of a cached template, so
// that it is up in about a tenth of a second. A kept cluster is as durable as PostgreSQL's own defaults make it, and
// the next Start on its folder continues with its data.
//
// PostgreSQL refuses to run as root; started by root, the server runs as $SUDO_USER, postgres or nobody. On Linux the
// server ends with the program that started it, also when that is killed; elsewhere the next Start ends what was left.
package localpg
