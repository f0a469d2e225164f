package receiver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Fault is a way of failing to respond.
type Fault string

// The faults.
const (
	// Reset ends the connection at once with a TCP reset.
	Reset Fault = "reset"
	// Hang sends nothing until the sender gives up.
	Hang Fault = "hang"
	// Garbage sends something that is not HTTP.
	Garbage Fault = "garbage"
)

// Behaviour says how a receiver responds.
type Behaviour struct {
	// Status is the status of the response, 200 to 599.
	Status int
	// Delay precedes the response or the fault.
	Delay time.Duration
	// Fault replaces the response; may be empty.
	Fault Fault
	// FailFirst limits Status, Fault and Delay to this many attempts of a delivery; later ones get a 200 at once. 0
	// means no limit.
	FailFirst int
	// Header and Body are sent with the response.
	Header http.Header
	Body   string
}

// Validate reports which part is invalid.
func (b *Behaviour) Validate() error {
	switch {
	case b.Status < 200 || b.Status > 599:
		return fmt.Errorf("status: must be from 200 to 599")
	case b.Delay < 0 || b.Delay > time.Hour:
		return fmt.Errorf("delay: must be from 0 to 1h")
	case b.Fault != "" && b.Fault != Reset && b.Fault != Hang && b.Fault != Garbage:
		return fmt.Errorf("error: must be reset, hang or garbage")
	case b.FailFirst < 0:
		return fmt.Errorf("fail-first: must not be negative")
	}
	return nil
}

// with returns the behaviour with the changes that the query of a webhook's URL asks for: status, delay, error,
// fail-first, and retry-after, in seconds, such as in
// http://127.0.0.1:9000/shop?status=503&retry-after=5&fail-first=2.
func (b Behaviour) with(query url.Values) (Behaviour, error) {
	for name, values := range query {
		value := values[0]
		var err error
		switch name {
		case "status":
			b.Status, err = strconv.Atoi(value)
		case "delay":
			b.Delay, err = time.ParseDuration(value)
		case "error":
			b.Fault = Fault(value)
		case "fail-first":
			b.FailFirst, err = strconv.Atoi(value)
		case "retry-after":
			b.Header = b.Header.Clone()
			if b.Header == nil {
				b.Header = http.Header{}
			}
			b.Header.Set("Retry-After", value)
		}
		if err != nil {
			return b, fmt.Errorf("%s: %q cannot be read", name, value)
		}
	}
	return b, b.Validate()
}

// Answer responds according to the behaviour and the query of the webhook's URL.
func (b Behaviour) Answer(ctx context.Context, r *Received) Answer {
	b, err := b.with(r.Query)
	if err != nil {
		return Answer{Status: http.StatusBadRequest, Body: fmt.Appendf(nil, "target URL: %s\n", err)}
	}
	if b.FailFirst > 0 && r.Attempt > b.FailFirst {
		return Answer{Status: http.StatusOK}
	}
	if b.Delay > 0 {
		timer := time.NewTimer(b.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if b.Fault == Hang {
		<-ctx.Done()
	}
	if b.Fault != "" {
		return Answer{Fault: b.Fault}
	}
	return Answer{Status: b.Status, Header: b.Header, Body: []byte(b.Body)}
}

// misbehave causes the fault on the connection.
func misbehave(w http.ResponseWriter, fault Fault) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // makes net/http end the connection without a response
	}
	defer conn.Close()
	switch fault {
	case Garbage:
		_, _ = conn.Write([]byte(strings.Repeat("this is no HTTP\n", 4))) // the sender has hung up
	case Reset, Hang:
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // closing then sends a reset
		}
	}
}
