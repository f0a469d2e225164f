package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const (
	// maxRelayed bounds a message of a relay, in bytes.
	maxRelayed = 16 << 20
	// relaySilence is how long a relay may say nothing: it says every few seconds that it is there.
	relaySilence = 30 * time.Second
)

// RelayFilter narrows what a relay gets; zero fields let everything pass.
type RelayFilter struct {
	Hook       uuid.UUID `query:"hook"`
	EventTypes []string  `query:"event_type"` // types and patterns
}

// Relay listens to the requests that are made to the tenant's receivers from now on, and hands each message to take, until ctx ends,
// the connection does or take returns an error. The error is never nil: that of ctx, take's, a *ProblemError for what the API refuses,
// and ErrUnavailable for a connection that ended and can be made again, with what came meanwhile lost.
func (c *Client) Relay(ctx context.Context, f RelayFilter, take func(*api.RelayMessage) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(relaySilence, cancel)
	defer silence.Stop()
	answer, err := c.stream(ctx, request{method: http.MethodGet, path: "/whisperer/relay/", query: queryOf(f)})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxRelayed)
	for lines.Scan() {
		silence.Reset(relaySilence)
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var m api.RelayMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("read message of relay: %w", err)
		}
		if err := take(&m); err != nil {
			return err
		}
	}
	return fmt.Errorf("listen to %s: the connection ended: %w", c.root.Host, errors.Join(ErrUnavailable, lines.Err()))
}
