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

// Fault is a way of not answering.
type Fault string

// The faults.
const (
	// Reset ends the connection at once, by a TCP reset.
	Reset Fault = "reset"
	// Hang says nothing until the sender gives up.
	Hang Fault = "hang"
	// Garbage answers something that is no HTTP.
	Garbage Fault = "garbage"
)

// Behaviour says how a receiver answers.
type Behaviour struct {
	// Status of the answer, 200 to 599.
	Status int
	// Delay comes before the answer or the fault.
	Delay time.Duration
	// Fault happens instead of an answer; empty for none.
	Fault Fault
	// FailFirst limits Status, Fault and Delay to the first so many attempts of a delivery; the later ones are answered with 200 at
	// once. 0 for no limit.
	FailFirst int
	// Header and Body are sent with the answer.
	Header http.Header
	Body   string
}

// Validate reports which part cannot be.
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

// with is the behaviour that a webhook's own query asks for, where it does: status, delay, error, fail-first, and
// retry-after, in seconds, such as in http://127.0.0.1:9000/shop?status=503&retry-after=5&fail-first=2.
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

// Answer answers as the behaviour says, and as the query of the webhook's URL says where it does.
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

// misbehave makes the fault happen on the connection.
func misbehave(w http.ResponseWriter, fault Fault) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's way of ending a connection without an answer
	}
	defer conn.Close()
	switch fault {
	case Garbage:
		_, _ = conn.Write([]byte(strings.Repeat("this is no HTTP\n", 4))) // the sender has hung up
	case Reset, Hang:
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // then closing resets
		}
	}
}
