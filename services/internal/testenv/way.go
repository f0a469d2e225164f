package testenv

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Way is a proxy to a database that can go silent: what is sent into it is then acknowledged by TCP, but lost.
type Way struct {
	URL string

	silent atomic.Bool
	mu     sync.Mutex
	conns  []net.Conn
}

// WayTo starts a proxy to the database, which ends with the test.
func WayTo(tb testing.TB, database string) *Way {
	tb.Helper()
	at, err := url.Parse(database)
	if err != nil {
		tb.Fatalf("read database URL: %v", err)
	}
	network, target := "tcp", at.Host
	if folder := at.Query().Get("host"); folder != "" {
		network, target = "unix", folder+"/.s.PGSQL."+cmp.Or(at.Query().Get("port"), at.Port(), "5432")
		query := at.Query()
		query.Del("host")
		query.Del("port")
		at.RawQuery = query.Encode()
	}
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	at.Host = listener.Addr().String()
	w := &Way{URL: at.String()}
	tb.Cleanup(func() {
		_ = listener.Close()
		w.Mend()
	})
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(context.Background(), network, target)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, in, out)
			w.mu.Unlock()
			go w.pipe(out, in)
			go w.pipe(in, out)
		}
	}()
	return w
}

// Silence silences all connections, including new ones.
func (w *Way) Silence() { w.silent.Store(true) }

// Mend breaks all connections and lets new ones through.
func (w *Way) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
	w.silent.Store(false)
}

func (w *Way) pipe(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if w.silent.Load() {
			if err != nil {
				return
			}
			continue
		}
		if _, failed := to.Write(buf[:n]); failed != nil || err != nil {
			return
		}
	}
}
