package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Role is what a token permits.
type Role string

// The roles. Each includes the permissions of the one before.
const (
	Viewer Role = "viewer" // reads
	Editor Role = "editor" // changes hooks, publishes events
	Admin  Role = "admin"  // makes and revokes tokens
)

// Covers reports whether the role includes the permissions of the other one.
func (r Role) Covers(other Role) bool { return r.rank() >= other.rank() && r.rank() > 0 }

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Editor:
		return 2
	case Admin:
		return 3
	default:
		return 0
	}
}

// maxTokenName bounds a token's name, in bytes.
const maxTokenName = 255

// tokenPrefix begins every token that we create, so that people and secret scanners recognize it.
const tokenPrefix = "wsp_"

// Token is an API token without its secret, of which only a hash is stored.
type Token struct {
	ID   uuid.UUID
	Name string
	// Tenant is empty for an operator's token, which is valid for every tenant.
	Tenant    string
	Role      Role
	CreatedAt time.Time
	// ExpiresAt is zero for a token that does not expire.
	ExpiresAt time.Time
	// RevokedAt is zero for a token that is not revoked.
	RevokedAt time.Time
	// LastUsedAt is when the token was last used, to the minute; zero if no use was recorded.
	LastUsedAt time.Time
}

// TokenState says whether a token is valid.
type TokenState string

// The states of a token.
const (
	TokenActive   TokenState = "active"
	TokenExpiring TokenState = "expiring" // valid for less than ExpiresSoon
	TokenExpired  TokenState = "expired"
	TokenRevoked  TokenState = "revoked"
)

// ExpiresSoon is the time before a token's expiry during which people are warned of it.
const ExpiresSoon = 14 * 24 * time.Hour

// State returns the token's state at the given time.
func (t *Token) State(now time.Time) TokenState {
	switch {
	case !t.RevokedAt.IsZero():
		return TokenRevoked
	case t.ExpiresAt.IsZero(), t.ExpiresAt.After(now.Add(ExpiresSoon)):
		return TokenActive
	case t.ExpiresAt.After(now):
		return TokenExpiring
	default:
		return TokenExpired
	}
}

// NewToken holds the parameters of CreateToken.
type NewToken struct {
	// Name says what the token is for. It has at most 255 bytes.
	Name string
	// Tenant is empty for an operator's token. It must exist.
	Tenant string
	Role   Role
	// ExpiresAt is zero for a token that does not expire.
	ExpiresAt time.Time
}

type tokenRow struct {
	ID        uuid.UUID    `db:"id"`
	Name      string       `db:"name"`
	Tenant    string       `db:"tenant"`
	Role      string       `db:"role"`
	Hash      []byte       `db:"hash"`
	CreatedAt time.Time    `db:"created_at"`
	ExpiresAt sql.NullTime `db:"expires_at"`
	RevokedAt sql.NullTime `db:"revoked_at"`
	LastUsed  sql.NullTime `db:"last_used_at"`
}

const tokenColumns = `id, name, COALESCE(tenant, '') AS tenant, role, hash, created_at, expires_at, revoked_at, last_used_at`

func (r *tokenRow) token() Token {
	t := Token{ID: r.ID, Name: r.Name, Tenant: r.Tenant, Role: Role(r.Role), CreatedAt: r.CreatedAt.UTC()}
	if r.ExpiresAt.Valid {
		t.ExpiresAt = r.ExpiresAt.Time.UTC()
	}
	if r.RevokedAt.Valid {
		t.RevokedAt = r.RevokedAt.Time.UTC()
	}
	if r.LastUsed.Valid {
		t.LastUsedAt = r.LastUsed.Time.UTC()
	}
	return t
}

// CreateToken creates a token, and returns it with its plain text, which is not stored. The error is a
// *webhook.ValidationError, with pointers into the API's JSON form, if a field breaks a rule or the tenant does not exist.
func (d *AccessStore) CreateToken(ctx context.Context, actor Actor, n NewToken) (plain string, token Token, err error) {
	if err := n.validate(); err != nil {
		return "", Token{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", Token{}, fmt.Errorf("make token id: %w", err)
	}
	plain = tokenPrefix + rand.Text()
	hash := sha256.Sum256([]byte(plain))
	var row tokenRow
	err = d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		err := tx.GetContext(ctx, &row, `
			INSERT INTO api_tokens (id, name, tenant, role, hash, expires_at)
			VALUES ($1, $2, NULLIF($3, ''), $4, $5, $6) RETURNING `+tokenColumns,
			id, n.Name, n.Tenant, string(n.Role), hash[:], sql.NullTime{Time: n.ExpiresAt, Valid: !n.ExpiresAt.IsZero()})
		switch {
		case violates(err, "api_tokens_tenant_fkey"):
			return audited{}, invalid("/tenant", "does not exist")
		case err != nil:
			return audited{}, fmt.Errorf("create token: %w", err)
		}
		return audited{
			tenant: n.Tenant, action: "token.created", subject: id.String(),
			detail: map[string]any{"name": n.Name, "role": n.Role},
		}, nil
	})
	if err != nil {
		return "", Token{}, err
	}
	return plain, row.token(), nil
}

func (n *NewToken) validate() error {
	v := &webhook.ValidationError{}
	if n.Name == "" || len(n.Name) > maxTokenName {
		v.Fields = append(v.Fields, webhook.FieldError{Pointer: "/name", Detail: "must have 1 to 255 bytes"})
	}
	if n.Role.rank() == 0 {
		v.Fields = append(v.Fields, webhook.FieldError{Pointer: "/role", Detail: "must be viewer, editor or admin"})
	}
	if !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(time.Now()) {
		v.Fields = append(v.Fields, webhook.FieldError{Pointer: "/expires_date", Detail: "must be in the future"})
	}
	if len(v.Fields) > 0 {
		return v
	}
	return nil
}

func invalid(pointer, detail string) error {
	return &webhook.ValidationError{Fields: []webhook.FieldError{{Pointer: pointer, Detail: detail}}}
}

// Authenticate returns the token with this plain text. The error is webhook.ErrNotFound if there is none, or it has expired or
// was revoked, so that a caller cannot tell these cases apart.
func (d *AccessStore) Authenticate(ctx context.Context, plain string) (Token, error) {
	hash := sha256.Sum256([]byte(plain))
	var row tokenRow
	err := d.db.GetContext(ctx, &row, `
		SELECT `+tokenColumns+` FROM api_tokens
		WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`, hash[:])
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Token{}, fmt.Errorf("token: %w", webhook.ErrNotFound)
	case err != nil:
		return Token{}, translate(fmt.Errorf("look up token: %w", err))
	case subtle.ConstantTimeCompare(row.Hash, hash[:]) != 1:
		return Token{}, fmt.Errorf("token: %w", webhook.ErrNotFound)
	}
	return row.token(), nil
}

// ListTokens lists the tokens of a tenant, including revoked ones, newest first. If tenant is empty, it lists those of all
// tenants and of operators.
func (d *AccessStore) ListTokens(ctx context.Context, tenant string) ([]Token, error) {
	var rows []tokenRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT `+tokenColumns+` FROM api_tokens
		WHERE $1 = '' OR tenant = $1 ORDER BY created_at DESC, id DESC`, tenant)
	if err != nil {
		return nil, translate(fmt.Errorf("list tokens of tenant %s: %w", tenant, err))
	}
	tokens := make([]Token, len(rows))
	for i := range rows {
		tokens[i] = rows[i].token()
	}
	return tokens, nil
}

// RevokeToken revokes a token of the tenant, or, if tenant is empty, of any tenant or an operator. Revoking it again changes
// nothing. The error is webhook.ErrNotFound if there is no such token.
func (d *AccessStore) RevokeToken(ctx context.Context, actor Actor, tenant string, id uuid.UUID) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var row tokenRow
		err := tx.GetContext(ctx, &row, `
			SELECT `+tokenColumns+` FROM api_tokens WHERE id = $1 AND ($2 = '' OR tenant = $2) FOR UPDATE`, id, tenant)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, fmt.Errorf("token %s: %w", id, webhook.ErrNotFound)
		case err != nil:
			return audited{}, fmt.Errorf("look up token %s: %w", id, err)
		case row.RevokedAt.Valid:
			return audited{}, nil
		}
		if _, err := tx.ExecContext(ctx, `UPDATE api_tokens SET revoked_at = now() WHERE id = $1`, id); err != nil {
			return audited{}, fmt.Errorf("revoke token %s: %w", id, err)
		}
		return audited{
			tenant: row.Tenant, action: "token.revoked", subject: id.String(), detail: map[string]any{"name": row.Name},
		}, nil
	})
}

// FindToken returns a token by its id. As with Authenticate, the error is webhook.ErrNotFound if there is none, or it has
// expired or was revoked.
func (d *AccessStore) FindToken(ctx context.Context, id uuid.UUID) (Token, error) {
	var row tokenRow
	err := d.db.GetContext(ctx, &row, `
		SELECT `+tokenColumns+` FROM api_tokens
		WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Token{}, fmt.Errorf("token %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return Token{}, translate(fmt.Errorf("look up token %s: %w", id, err))
	}
	return row.token(), nil
}

// RecordTokenUses stores when tokens were used. A later time that is already stored stays.
func (d *AccessStore) RecordTokenUses(ctx context.Context, uses map[uuid.UUID]time.Time) error {
	ids, times := make([]string, 0, len(uses)), make([]string, 0, len(uses))
	for id, at := range uses {
		ids, times = append(ids, id.String()), append(times, at.UTC().Format(time.RFC3339Nano))
	}
	_, err := d.db.ExecContext(ctx, `
		UPDATE api_tokens t SET last_used_at = u.at FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, at)
		WHERE t.id = u.id AND (t.last_used_at IS NULL OR t.last_used_at < u.at)`, textArray(ids), textArray(times))
	if err != nil {
		return translate(fmt.Errorf("record uses of tokens: %w", err))
	}
	return nil
}
