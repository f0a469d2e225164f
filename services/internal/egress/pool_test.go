package egress_test

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// closable is a connection that only records whether it was closed.
type closable struct {
	net.Conn

	closed atomic.Bool
}

func (c *closable) Close() error {
	c.closed.Store(true)
	return nil
}

func open(conns []*closable) (n int) {
	for _, c := range conns {
		if !c.closed.Load() {
			n++
		}
	}
	return n
}

// pass advances the synctest bubble's clock, and waits until everything due in that time has run.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// putMany puts n connections into the pool, each to a different receiver, one millisecond apart.
func putMany(p egress.Pool, n int) []*closable {
	conns := make([]*closable, n)
	for i := range conns {
		conns[i] = &closable{}
		p.Use(strconv.Itoa(i), conns[i])()
		pass(time.Millisecond)
	}
	return conns
}

func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := egress.NewPool(4)
		early := putMany(p, 3)
		pass(egress.IdleTimeout / 2)
		late := putMany(p, 3)
		require.Equal(t, 3, open(early))
		pass(egress.IdleTimeout / 2)
		require.Zero(t, open(early))
		require.Equal(t, 3, open(late))
		pass(egress.IdleTimeout / 2)
		require.Zero(t, open(late))
	})
}

func TestIdleConnectionsAreBoundedOverAllPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := egress.NewPool(4)
		conns := putMany(p, egress.MaxIdle+10)
		require.Equal(t, egress.MaxIdle, open(conns))
		require.Zero(t, open(conns[:10]), "those that were not used for longest go")
		p.Close()
		require.Zero(t, open(conns))
	})
}

func TestAConnectionInUseWhenThePoolIsClosedIsClosedAfter(t *testing.T) {
	t.Parallel()
	p := egress.NewPool(4)
	before, after := &closable{}, &closable{}
	back := p.Use("a", before)
	p.Close()
	require.False(t, before.closed.Load())
	back()
	require.True(t, before.closed.Load())
	p.Use("a", after)()
	require.False(t, after.closed.Load(), "the pool goes on")
	p.Close()
	require.True(t, after.closed.Load())
}

func TestIdleConnectionsToOneHostAreBounded(t *testing.T) {
	t.Parallel()
	var closed sync.WaitGroup
	closed.Add(3)
	all := make(chan struct{}) // closed when four requests are in progress at once
	arrived := make(chan struct{}, 8)
	server := listen(t, func(_ *receiver, conn net.Conn) {
		buf := make([]byte, 1<<10)
		_, _ = conn.Read(buf)
		arrived <- struct{}{}
		<-all
		_, _ = io.WriteString(conn, empty200)
		hang(conn)
		closed.Done()
	})
	client := newClient(t, egress.Options{MaxIdlePerHost: 1})
	var sent sync.WaitGroup
	for range 4 {
		sent.Go(func() {
			if got := post(t, client, server.url()); !got.Success() {
				t.Error(got.Err)
			}
		})
	}
	for range 4 {
		<-arrived
	}
	close(all)
	sent.Wait()
	closed.Wait() // all but one
	closed.Add(1)
	client.Close()
	closed.Wait()
}
