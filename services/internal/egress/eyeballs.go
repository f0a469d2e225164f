package egress

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxReached is the number of names whose good address is remembered.
const maxReached = 4096

// reached remembers, for each name, the address that accepted the last connection. Of the addresses that the name has
// now, that one is tried first.
type reached struct {
	mu        sync.Mutex
	byAddress map[string]netip.AddrPort
}

func (r *reached) get(address string) netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byAddress[address]
}

// set remembers an address. When there are too many, it forgets all others.
func (r *reached) set(address string, good netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byAddress == nil || len(r.byAddress) >= maxReached {
		r.byAddress = map[string]netip.AddrPort{}
	}
	r.byAddress[address] = good
}

// inTurns orders addresses: the good one first, then alternating between the two families (RFC 8305 section 4).
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

// dialled is the result of one address.
type dialled struct {
	addr netip.AddrPort
	conn net.Conn
	err  error
}

// race connects to one of several addresses. It starts with the next address when the previous one has failed or has
// had nextAddr on its own. If no address answers, it returns the first error.
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

// closeLate closes the connections that lost the race.
func closeLate(results <-chan dialled, n int) {
	for range n {
		if r := <-results; r.err == nil {
			_ = r.conn.Close()
		}
	}
}
