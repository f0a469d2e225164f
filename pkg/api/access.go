package api

import (
	"time"

	"github.com/google/uuid"
)

// TokenFields describe the token to create.
type TokenFields struct {
	Name string `json:"name" doc:"What the token is for" maxLength:"255"`
	// Tenant is empty for an operator's token, which only an operator can create.
	Tenant string `json:"tenant,omitempty" doc:"The caller's own if absent. For an operator without X-Whisperer-Tenant, absent creates an operator's token"`
	// Role is viewer, editor or admin.
	Role string `json:"role" doc:"viewer reads; editor also changes hooks and publishes events; admin also creates tokens"`
	// Expires is zero for a token that never expires.
	Expires time.Time `json:"expires_date,omitzero" doc:"null for never"`
}

// Token is an API token without its secret.
type Token struct {
	ID           uuid.UUID  `json:"id" format:"uuid"`
	Name         string     `json:"name" doc:"What the token is for"`
	Tenant       string     `json:"tenant" doc:"Empty for an operator's token, which is valid for every tenant"`
	Role         string     `json:"role" enum:"viewer,editor,admin"`
	State        string     `json:"state" enum:"active,expiring,expired,revoked" doc:"expiring: active, but for less than 14 days"`
	CreatedDate  time.Time  `json:"created_date"`
	ExpiresDate  *time.Time `json:"expires_date" doc:"null for never"`
	RevokedDate  *time.Time `json:"revoked_date" doc:"null for a token that is not revoked"`
	LastUsedDate *time.Time `json:"last_used_date" doc:"To the minute, recorded within a minute; null for an unused token"`
}

// NewToken is a newly created token with its secret, which is never shown again.
type NewToken struct {
	Token

	Secret string `json:"token" doc:"The token itself. It is shown only once"`
}

// Tenant is one of the installation's tenants.
type Tenant struct {
	Name        string    `json:"name"`
	Handshake   string    `json:"handshake" enum:"off,new_hosts,always" doc:"Which receivers have to agree before hooks send to them"`
	CreatedDate time.Time `json:"created_date"`
}

// KeyRotation says which signing keys to replace, and how.
type KeyRotation struct {
	// Algorithm is ecdsa-p256-sha256 or ed25519; empty means both.
	Algorithm string `json:"algorithm,omitempty" doc:"ecdsa-p256-sha256 or ed25519; both if absent"`
	// Revoke removes the previous keys from the key set at once.
	Revoke bool `json:"revoke,omitempty" doc:"true removes the previous keys from the key set at once, if they may have leaked"`
}

// SigningKey is one of the keys that sign a tenant's HTTP Message Signatures (config.signature with the preset
// rfc9421).
type SigningKey struct {
	ID             string     `json:"id" doc:"The keyid of signatures, and the kid of the JSON Web Key: its RFC 7638 thumbprint"`
	Algorithm      string     `json:"algorithm" enum:"ecdsa-p256-sha256,ed25519"`
	State          string     `json:"state" enum:"next,current,previous" doc:"next will sign after the next rotation, current signs, previous is only published"`
	Usable         bool       `json:"usable" doc:"false for a key that cannot be decrypted: nothing that it has to sign is sent"`
	JWK            JWK        `json:"jwk" doc:"The public key that receivers verify with"`
	JWKSURL        string     `json:"jwks_url" doc:"The URL of the tenant's public keys"`
	CreatedDate    time.Time  `json:"created_date"`
	SignsFrom      *time.Time `json:"signs_from" doc:"null for the next key"`
	PublishedUntil *time.Time `json:"published_until" doc:"null for all but previous keys"`
}

// JWK is a public key (RFC 7517).
type JWK struct {
	Kty string `json:"kty" enum:"EC,OKP"`
	Crv string `json:"crv" enum:"P-256,Ed25519"`
	X   string `json:"x"`
	Y   string `json:"y,omitempty"`
	Kid string `json:"kid"`
	Alg string `json:"alg" enum:"ES256,EdDSA"`
	Use string `json:"use" enum:"sig"`
}

// AuditEntry is one entry of the audit log: who did what to which object.
type AuditEntry struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	Actor       string    `json:"actor" doc:"token and its id, or the name of a program"`
	ActorName   string    `json:"actor_name" doc:"The name of the token; empty for a program"`
	Action      string    `json:"action" doc:"A kind and a verb, such as hook.created"`
	Subject     string    `json:"subject" doc:"The id or name of the thing"`
	Detail      Object    `json:"detail" doc:"What was changed; never a secret"`
	CreatedDate time.Time `json:"created_date"`
}
