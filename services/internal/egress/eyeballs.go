package egress

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxReached is of how many names the good address is remembered.
const maxReached = 4096

// reached is which of a name's addresses took the last connection. It only says which is tried first of those that the
// name has now.
type reached struct {
	mu        sync.Mutex
	byAddress map[string]netip.AddrPort
}

func (r *reached) get(address string) netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byAddress[address]
}

// set remembers an address; when there are too many, all others are forgotten.
func (r *reached) set(address string, good netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byAddress == nil || len(r.byAddress) >= maxReached {
		r.byAddress = map[string]netip.AddrPort{}
	}
	r.byAddress[address] = good
}

// inTurns orders addresses: the good one first, the others so that the two families alternate (RFC 8305 section 4).
func inTurns(addrs []netip.AddrPort, good netip.AddrPort) []netip.AddrPort {
	var six, four, list []netip.AddrPort
	for _, a := range addrs {
		switch {
		case a == good:
			list = []netip.AddrPort{a}
		case a.Addr().Is4():
			four = append(four, a)
		default:
			six = append(six, a)
		}
	}
	first, second := six, four
	if addrs[0].Addr().Is4() {
		first, second = four, six
	}
	for i := range max(len(first), len(second)) {
		list = append(list, first[min(i, len(first)):min(i+1, len(first))]...)
		list = append(list, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	return slices.Clip(list[:min(len(list), maxAddrs)])
}

// dialled is what became of one address.
type dialled struct {
	addr netip.AddrPort
	conn net.Conn
	err  error
}

// race connects to one of several addresses, and returns the error of the one that failed first if none answers: each has a
// moment of its own, or until it fails, before the next one is tried beside it.
func (d *dialer) race(ctx context.Context, address string, addrs []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addrs = inTurns(addrs, d.good.get(address))
	results := make(chan dialled, len(addrs))
	begun := 0
	timer := time.NewTimer(nextAddr)
	defer timer.Stop()
	begin := func() {
		if begun == len(addrs) {
			return
		}
		addr := addrs[begun]
		begun++
		timer.Reset(nextAddr)
		go func() {
			conn, err := d.net.DialContext(ctx, "tcp", addr.String())
			results <- dialled{addr: addr, conn: conn, err: err}
		}()
	}
	var first error
	begin()
	for ended := 0; ended < len(addrs); {
		select {
		case <-timer.C:
			begin()
		case r := <-results:
			ended++
			if r.err == nil {
				d.good.set(address, r.addr)
				go closeLate(results, begun-ended)
				return r.conn, nil
			}
			if first == nil {
				first = classifyConnect(r.err)
			}
			begin()
		}
	}
	return nil, first
}

// closeLate closes the connections of those that lost.
func closeLate(results <-chan dialled, n int) {
	for range n {
		if r := <-results; r.err == nil {
			_ = r.conn.Close()
		}
	}
}
