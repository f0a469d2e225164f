// Package localpg runs a private PostgreSQL server from the binaries on this machine, for standalone mode and for
// tests. It needs no container engine, no root and no running service:
//
//	server, err := localpg.Start(ctx, localpg.Options{})       // temporary: deleted by Stop
//	server, err := localpg.Start(ctx, localpg.Options{DataDir: ".whisperer/postgres", TCP: true}) // kept
//
// A temporary cluster is in memory if there is room, runs without fsync and is a copy of a cached template, so that
// it starts in about a tenth of a second. A kept cluster has the durability of PostgreSQL's defaults, and the next
// Start on its folder continues with its data.
//
// PostgreSQL refuses to run as root. If root starts it, the server runs as $SUDO_USER, postgres or nobody. On Linux
// the server ends with the program that started it, even if that is killed; elsewhere the next Start ends a server
// that was left over.
package localpg
