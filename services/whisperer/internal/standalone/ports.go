package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// nextPorts is how many ports after the wanted one are tried before any free one is used.
const nextPorts = 20

// freeAddress returns the address or, if another program listens on it, one with the next free port.
func freeAddress(ctx context.Context, address string) (string, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("read address %q: %w", address, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", fmt.Errorf("read address %q: the port is not a number", address)
	}
	for i := range nextPorts + 1 {
		try := port + i
		if port == 0 || i == nextPorts || try > 65535 {
			try = 0
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(try)))
		switch {
		case err == nil:
			free := listener.Addr().String()
			return free, listener.Close()
		case errors.Is(err, syscall.EADDRINUSE) && try != 0:
		default:
			return "", fmt.Errorf("listen: %w", err)
		}
	}
	return "", fmt.Errorf("listen on %s: no port is free", host)
}
