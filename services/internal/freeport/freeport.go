// Package freeport finds ports for servers that have to be told theirs before they listen.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports are below those that systems give to outgoing connections, so that none of these takes one meanwhile.
const first, last = 10_000, 30_000

// Find returns a port of 127.0.0.1 that nobody listens on. Who asks twice most likely gets two.
func Find(ctx context.Context) (int, error) {
	var config net.ListenConfig
	for range 100 {
		port := first + rand.IntN(last-first) //nolint:gosec // no secret
		l, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("find a free port: %w", ctx.Err())
		}
	}
	return 0, errors.New("find a free port: there is none")
}
