//go:build faults

package faults_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listenProxy is a proxy between a worker and PostgreSQL that delays or silently drops the data on the connection with
// notifications.
type listenProxy struct {
	to   string
	late time.Duration
	mute bool
}

// start returns the URL of the database through the proxy.
func (p *listenProxy) start(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
	})
	p.to, u.Host = u.Host, l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(ctx, conn)
		}
	}()
	return u.String()
}

func (p *listenProxy) carry(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	listening := make(chan struct{})
	once := sync.OnceFunc(func() { close(listening) })
	go func() {
		defer server.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if bytes.Contains(buffer[:n], []byte("LISTEN")) {
				once()
			}
			if _, failed := server.Write(buffer[:n]); err != nil || failed != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		content := buffer[:n]
		select {
		case <-listening:
			if bytes.Contains(content, []byte("whisperer_")) { // a notification
				if p.mute {
					_, _ = io.Copy(io.Discard, server)
					return
				}
				<-time.After(p.late)
			}
		default:
		}
		if _, err := client.Write(content); err != nil {
			return
		}
	}
}
