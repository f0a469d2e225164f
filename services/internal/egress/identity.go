package egress

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// maxIdentities is how many TLS identities may have connections at once.
	maxIdentities = 256
	// sessionsPerIdentity is how many sessions are cached for resumption; an identity usually has one host.
	sessionsPerIdentity = 16
)

// identity says how we authenticate in a TLS handshake, and whom we trust.
type identity struct {
	key    [sha256.Size]byte
	config *tls.Config
}

// WithTLS returns the Target with a TLS identity: a client certificate, the only authorities to trust, and the name
// that the receiver's certificate must have. A nil id changes nothing. If the identity cannot be used, WithTLS
// returns an error and a Target that Do answers with webhook.ClassRequest.
func (c *Client) WithTLS(t Target, id *webhook.TLS) (Target, error) {
	if id == nil || t.template == nil {
		return t, nil
	}
	made, err := c.newIdentity(id)
	if err != nil {
		return Target{url: t.url}, err
	}
	t.identity = made
	return t, nil
}

func (c *Client) newIdentity(id *webhook.TLS) (*identity, error) {
	certificate, err := id.Certificate()
	if err != nil {
		return nil, err
	}
	roots, err := id.Roots()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	config := c.dialer.tls.Clone()
	config.ServerName = id.ServerName
	config.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsPerIdentity) // sessions must not be shared between identities
	if roots != nil {
		config.RootCAs = roots
	}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return &identity{key: sha256.Sum256(text), config: config}, nil
}

// identities hold one transport per TLS identity. No connection is shared between identities.
type identities struct {
	mu    sync.Mutex
	byKey map[[sha256.Size]byte]*ownTransport
}

type ownTransport struct {
	*transport

	used time.Time
}

// transportFor returns the transport of an identity; nil means no identity. It creates the transport on first use. If
// there are too many, it closes the least recently used one, whose requests in progress continue.
func (c *Client) transportFor(id *identity) *transport {
	if id == nil {
		return c.transport
	}
	c.identities.mu.Lock()
	defer c.identities.mu.Unlock()
	now := time.Now()
	if own := c.identities.byKey[id.key]; own != nil {
		own.used = now
		return own.transport
	}
	if len(c.identities.byKey) >= maxIdentities {
		c.identities.evict()
	}
	d := *c.dialer
	d.tls = id.config
	own := &ownTransport{transport: newTransport(&d, c.options), used: now}
	c.identities.byKey[id.key] = own
	return own.transport
}

func (i *identities) evict() {
	var oldest [sha256.Size]byte
	var since time.Time
	for key, own := range i.byKey {
		if since.IsZero() || own.used.Before(since) {
			oldest, since = key, own.used
		}
	}
	i.byKey[oldest].close()
	delete(i.byKey, oldest)
}

func (i *identities) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, own := range i.byKey {
		own.close()
	}
	clear(i.byKey)
}
