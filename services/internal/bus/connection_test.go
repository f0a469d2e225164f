package bus_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// opened returns a bus that may not get a connection, and the log it writes.
func opened(t *testing.T, url string, c bus.Credentials) (*bus.Bus, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	require.NoError(t, c.Validate())
	b, err := bus.Open(bus.Options{URL: url, Name: t.Name(), Credentials: c, Log: zap.New(core)})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b, logs
}

// explained waits until the bus says what is wrong, and requires that it was logged once.
func explained(t *testing.T, b *bus.Bus, logs *observer.ObservedLogs, words ...string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		err := b.Ready(context.Background())
		for _, word := range words {
			require.ErrorContains(c, err, word)
		}
	}, time.Minute, 20*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // it retries several times in this period
	defer cancel()
	err := b.Await(ctx)
	for _, word := range words {
		require.ErrorContains(t, err, word, "what waits for a connection says why there is none")
	}
	said := map[string]int{}
	for _, entry := range logs.FilterMessage("cannot connect to nats").All() {
		said[fmt.Sprint(entry.ContextMap()["error"])]++
	}
	require.NotEmpty(t, said)
	for text, times := range said {
		require.Equal(t, 1, times, text)
	}
}

func connects(t *testing.T, b *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, b.Await(ctx))
	require.NoError(t, b.Ready(t.Context()))
}

func written(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestWrongCredentialsAreNamedAndMendThemselves(t *testing.T) {
	t.Parallel()
	url := testenv.NATSWith(t, `authorization { users: [{user: whisperer, password: right}] }`)
	password := written(t, "password", "wrong\n")
	b, logs := opened(t, url, bus.Credentials{User: "whisperer", PasswordFile: password})
	explained(t, b, logs, "Authorization Violation", "WHISPERER_NATS_CREDS")
	require.NotContains(t, logs.All()[0].ContextMap()["error"], "wrong")
	require.NoError(t, os.WriteFile(password, []byte("right\n"), 0o600))
	connects(t, b)
}

func TestTokensAndKeysAreTaken(t *testing.T) {
	t.Parallel()
	connected, logs := opened(t, testenv.NATSWith(t, `authorization { token: "s3cret" }`), bus.Credentials{TokenFile: written(t, "token", "s3cret\n")})
	connects(t, connected)
	require.Empty(t, logs.All())

	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	url := testenv.NATSWith(t, `authorization { users: [{nkey: `+public+`}] }`)
	for _, c := range []bus.Credentials{{NKey: string(seed)}, {NKeyFile: written(t, "seed", string(seed)+"\n")}} {
		connected, _ := opened(t, url, c)
		connects(t, connected)
	}
	stranger, logs := opened(t, url, bus.Credentials{})
	explained(t, stranger, logs, "WHISPERER_NATS_CREDS")
}

// issued makes a key pair and the claims about it, signed by the given key.
func issued(t *testing.T, kind nkeys.PrefixByte, claims func(public string) jwt.Claims, by nkeys.KeyPair) (key nkeys.KeyPair, public, token string) {
	t.Helper()
	key, err := nkeys.CreatePair(kind)
	require.NoError(t, err)
	public, err = key.PublicKey()
	require.NoError(t, err)
	if by == nil {
		by = key
	}
	token, err = claims(public).Encode(by)
	require.NoError(t, err)
	return key, public, token
}

func TestCredentialsWithAJWTAreTaken(t *testing.T) {
	t.Parallel()
	operator, _, operatorToken := issued(t, nkeys.PrefixByteOperator, func(p string) jwt.Claims { return jwt.NewOperatorClaims(p) }, nil)
	account, accountID, accountToken := issued(t, nkeys.PrefixByteAccount, func(p string) jwt.Claims {
		c := jwt.NewAccountClaims(p)
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1}
		return c
	}, operator)
	_, systemID, systemToken := issued(t, nkeys.PrefixByteAccount, func(p string) jwt.Claims { return jwt.NewAccountClaims(p) }, operator)
	user, _, userToken := issued(t, nkeys.PrefixByteUser, func(p string) jwt.Claims { return jwt.NewUserClaims(p) }, account)
	seed, err := user.Seed()
	require.NoError(t, err)
	creds, err := jwt.FormatUserConfig(userToken, seed)
	require.NoError(t, err)
	url := testenv.NATSWith(t, "operator: "+operatorToken+"\nsystem_account: "+systemID+"\nresolver: MEMORY\nresolver_preload: {\n  "+
		accountID+": "+accountToken+"\n  "+systemID+": "+systemToken+"\n}\n")
	for _, c := range []bus.Credentials{{Creds: string(creds)}, {CredsFile: written(t, "user.creds", string(creds))}} {
		b, _ := opened(t, url, c)
		connects(t, b)
		require.NoError(t, b.Streams().Ensure(t.Context()))
	}
}

func TestCertificatesAreCheckedAndShown(t *testing.T) {
	t.Parallel()
	ours, theirs := testenv.NewAuthority(t), testenv.NewAuthority(t)
	certificate, key := ours.IssuePEM(t, "127.0.0.1", time.Now().Add(time.Hour))
	tls := `tls { cert_file: "` + written(t, "cert.pem", certificate) + `", key_file: "` + written(t, "key.pem", key) + `" `
	url := testenv.NATSWith(t, tls+"}")
	trusted := bus.Credentials{CAFile: written(t, "ca.pem", ours.PEM)}

	b, _ := opened(t, url, trusted)
	connects(t, b)
	for name, c := range map[string]bus.Credentials{"nobody's": {}, "another's": {CA: theirs.PEM}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, logs := opened(t, url, c)
			explained(t, b, logs, "WHISPERER_NATS_CA_FILE")
		})
	}
	elsewhere, elsewhereKey := ours.IssuePEM(t, "elsewhere.example", time.Now().Add(time.Hour))
	named := testenv.NATSWith(t, `tls { cert_file: "`+written(t, "cert.pem", elsewhere)+`", key_file: "`+written(t, "key.pem", elsewhereKey)+`" }`)
	wrong, logs := opened(t, named, trusted)
	explained(t, wrong, logs, "WHISPERER_NATS_URL", "name")

	mutual := testenv.NATSWith(t, tls+`, ca_file: "`+written(t, "ca.pem", ours.PEM)+`", verify: true }`)
	without, logs := opened(t, mutual, trusted)
	explained(t, without, logs, "WHISPERER_NATS_CLIENT_CERT_FILE")
	mine, myKey := ours.IssuePEM(t, "whisperer", time.Now().Add(time.Hour))
	shown, _ := opened(t, mutual, bus.Credentials{CA: ours.PEM, ClientCert: mine, ClientKeyFile: written(t, "my.pem", myKey)})
	connects(t, shown)
}

func TestNobodyThereIsNamed(t *testing.T) {
	t.Parallel()
	b, logs := opened(t, "nats://127.0.0.1:1", bus.Credentials{})
	explained(t, b, logs, "connection refused", "look whether nats-server runs")
}

func TestWhatCannotBeUsedOfCredentialsIsNamedWithoutItsValue(t *testing.T) {
	t.Parallel()
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("secret")}))
	for want, c := range map[string]bus.Credentials{
		"WHISPERER_NATS_CREDS":                                  {Creds: "secret"},
		"WHISPERER_NATS_CREDS_FILE":                             {CredsFile: "/nowhere"},
		"WHISPERER_NATS_NKEY: holds no seed":                    {NKey: "SUsecret"},
		"WHISPERER_NATS_USER: is missing":                       {Password: "secret"},
		"set one of them":                                       {User: "me", Token: "secret"},
		"WHISPERER_NATS_TOKEN_FILE: set one of them":            {Token: "secret", TokenFile: "/x"},
		"set both or none":                                      {ClientCert: "secret"},
		"WHISPERER_NATS_CA: holds no certificate":               {CA: "secret"},
		"WHISPERER_NATS_CLIENT_CERT, WHISPERER_NATS_CLIENT_KEY": {ClientCert: block, ClientKey: block},
	} {
		err := c.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
		_, err = bus.Open(bus.Options{URL: "nats://127.0.0.1:1", Credentials: c, Log: zap.NewNop()})
		require.Error(t, err)
	}
	for _, url := range []string{"nats://me:se/cret@host:4222", "http://host", "nats://", "nats://host:4222,nats://%zz", "host:port:x"} {
		require.Error(t, broker.ValidateURL(url), url)
		require.NotContains(t, broker.ValidateURL(url).Error(), "cret")
	}
	for _, url := range []string{"host", "host:4222", "nats://a:4222, tls://b", "nats://me:p%40ss@host:4222"} {
		require.NoError(t, broker.ValidateURL(url), url)
	}
}
