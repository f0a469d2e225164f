//go:build faults

package faults_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy is a network between a program and a server. It can be cut and can lose messages.
type proxy struct {
	to, at string
	nats   bool // the client speaks the NATS protocol

	mu    sync.Mutex
	up    chan struct{} // closed while bytes flow to the server
	down  chan struct{} // closed while bytes flow back
	conns map[net.Conn]bool
	// loses reports which messages to the server get lost; nil for none.
	loses func(subject string, payload []byte) bool
	// swallows reports that bytes get lost in both directions.
	swallows bool
	// lag returns the delay of bytes in each direction, on new connections; nil for none.
	lag func() time.Duration
}

// newProxy starts a proxy to the address, of a nats-server or another server.
func newProxy(t *testing.T, to string, nats bool) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	flows := make(chan struct{})
	close(flows)
	p := &proxy{to: to, at: l.Addr().String(), nats: nats, up: flows, down: flows, conns: map[net.Conn]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		p.mend()
		p.reset()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(ctx, conn)
		}
	}()
	return p
}

// cut stops the flow in the given directions without closing connections, as when packets are dropped.
func (p *proxy) cut(up, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		p.up = make(chan struct{})
	}
	if down {
		p.down = make(chan struct{})
	}
}

// mend lets everything flow again, including the bytes that were held up.
func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, gate := range []chan struct{}{p.up, p.down} {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
}

// swallow makes the proxy discard all bytes in both directions, as a black hole does, or stops that. It then closes the
// connections of the meantime, because their data has gaps.
func (p *proxy) swallow(on bool) {
	p.mu.Lock()
	p.swallows = on
	p.mu.Unlock()
	if !on {
		p.reset()
	}
}

func (p *proxy) swallowing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.swallows
}

// reset ends all connections with a RST.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// lose sets which messages are lost from now on.
func (p *proxy) lose(which func(subject string, payload []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loses = which
}

// slow sets the delay in each direction, on new connections.
func (p *proxy) slow(lag func() time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag = lag
}

// far is the far end of a slow line: data arrives later and in order, and the writer does not wait for it.
type far struct {
	net.Conn

	lag     func() time.Duration
	sent    chan parcel
	arrived chan struct{}
}

type parcel struct {
	content []byte
	due     time.Time
}

func newFar(conn net.Conn, lag func() time.Duration) *far {
	f := &far{Conn: conn, lag: lag, sent: make(chan parcel, 4096), arrived: make(chan struct{})}
	go func() {
		defer close(f.arrived)
		for p := range f.sent {
			<-time.After(time.Until(p.due))
			_, _ = conn.Write(p.content) // a closed connection is noticed at the next read
		}
		_ = conn.Close()
	}()
	return f
}

// Write implements net.Conn.
func (f *far) Write(content []byte) (int, error) {
	f.sent <- parcel{bytes.Clone(content), time.Now().Add(f.lag())}
	return len(content), nil
}

// Close implements net.Conn. Data on its way arrives first.
func (f *far) Close() error {
	close(f.sent)
	<-f.arrived
	return nil
}

func (p *proxy) carry(ctx context.Context, client net.Conn) {
	defer client.Close()
	p.wait(true)
	server, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	lag := p.lag
	p.mu.Unlock()
	toServer, toClient := server, client
	if lag != nil {
		toServer, toClient = newFar(server, lag), newFar(client, lag)
	}
	var both sync.WaitGroup
	both.Go(func() {
		if p.nats {
			p.messages(client, toServer)
		} else {
			p.bytes(client, toServer, true)
		}
		_ = toServer.Close()
	})
	both.Go(func() {
		p.bytes(server, toClient, false)
		_ = toClient.Close()
	})
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// wait waits until bytes may flow.
func (p *proxy) wait(up bool) {
	p.mu.Lock()
	gate := p.down
	if up {
		gate = p.up
	}
	p.mu.Unlock()
	<-gate
}

func (p *proxy) bytes(from, to net.Conn, up bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		p.wait(up)
		if err == nil && p.swallowing() {
			continue
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

// messages copies the client's side of the NATS protocol, message by message.
func (p *proxy) messages(from, to net.Conn) {
	in, out := bufio.NewReaderSize(from, 64<<10), bufio.NewWriterSize(to, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		var payload []byte
		if len(words) > 2 && (strings.EqualFold(words[0], "PUB") || strings.EqualFold(words[0], "HPUB")) {
			size, err := strconv.Atoi(words[len(words)-1])
			if err != nil {
				return
			}
			payload = make([]byte, size+len("\r\n"))
			if _, err := io.ReadFull(in, payload); err != nil {
				return
			}
		}
		p.wait(true)
		p.mu.Lock()
		lost := payload != nil && p.loses != nil && p.loses(words[1], payload[:len(payload)-2])
		p.mu.Unlock()
		if lost {
			continue
		}
		_, _ = fmt.Fprint(out, line) // the writer remembers errors
		_, _ = out.Write(payload)
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return
			}
		}
	}
}
