package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// Allowed is what NATS lets its user do, as far as the user can see.
type Allowed struct {
	// Account is empty where the user may not even ask, which narrow ones may not.
	Account string
	// Wide says that the user may delete streams, and publish whatever it likes.
	Wide bool
}

// Accountless is the account of everybody where nats-server has no accounts.
const Accountless = "$G"

// accessTimeout is how long the answer is waited for: a question that is not permitted has none.
const accessTimeout = time.Second

// Allowed asks the server.
func (b *Bus) Allowed(ctx context.Context) (Allowed, error) {
	nc, ok := b.link.(*nats.Conn)
	if !ok {
		return Allowed{}, errors.New("ask nats for permissions: not connected to a server")
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "$SYS.REQ.USER.INFO", nil)
	if errors.Is(err, context.DeadlineExceeded) {
		return Allowed{}, nil
	}
	if err != nil {
		return Allowed{}, fmt.Errorf("ask nats for permissions: %w", err)
	}
	var answer struct {
		Data struct {
			Account     string `json:"account"`
			Permissions *struct {
				Publish *struct {
					Allow, Deny []string
				} `json:"publish"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return Allowed{}, fmt.Errorf("read permissions of nats: %w", err)
	}
	a := Allowed{Account: answer.Data.Account, Wide: true}
	if p := answer.Data.Permissions; p != nil && p.Publish != nil {
		everything := len(p.Publish.Allow) == 0 || slices.Contains(p.Publish.Allow, ">")
		a.Wide = everything && !slices.Contains(p.Publish.Deny, "$JS.API.STREAM.DELETE.>")
	}
	return a, nil
}
