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

// Allowed describes the permissions of the connected NATS user, as far as the user can find out.
type Allowed struct {
	// Account is empty where the user lacks the permission to ask; users with narrow permissions do.
	Account string
	// Wide reports whether the user may delete streams and publish to any subject.
	Wide bool
}

// Accountless is the name of the default account on a nats-server without configured accounts.
const Accountless = "$G"

// accessTimeout bounds the wait for the answer: a request that the user may not make gets none.
const accessTimeout = time.Second

// Allowed asks the server for the user's permissions.
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
