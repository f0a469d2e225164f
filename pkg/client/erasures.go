package client

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const erasuresPath = "/whisperer/erasures/"

// Erasures erases payloads before their time.
type Erasures struct{ *core }

// EraseFields say which payloads to erase: exactly one of Events, Entity and Path is needed, and Reason unless it is a dry run.
type EraseFields = api.EraseFields

// Create begins to erase payloads, or counts them where it is a dry run. It cannot be undone.
func (c Erasures) Create(ctx context.Context, fields EraseFields) (api.Erasure, error) {
	return post[api.Erasure](ctx, c.core, erasuresPath, fields)
}

// List lists the tenant's erasures, newest first.
func (c Erasures) List(ctx context.Context) iter.Seq2[api.Erasure, error] {
	return pages[api.Erasure](ctx, c.core, erasuresPath, nil)
}

// Get returns an erasure and how far it is.
func (c Erasures) Get(ctx context.Context, id uuid.UUID) (api.Erasure, error) {
	return get[api.Erasure](ctx, c.core, erasuresPath+id.String()+"/")
}

// Cancel has no more events looked for; what was begun to be erased is erased. webhook.ErrConflict comes where it has ended.
func (c Erasures) Cancel(ctx context.Context, id uuid.UUID) (api.Erasure, error) {
	return post[api.Erasure](ctx, c.core, erasuresPath+id.String()+"/cancel/", nil)
}
