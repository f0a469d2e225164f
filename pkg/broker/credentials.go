package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Credentials say as which user a program connects to NATS, and which servers it trusts. The zero value connects
// without credentials, except those in the URL, and trusts the machine's certificate authorities. Files are read
// again for each connection, so they can be changed without a restart. The tags name the variables that set the
// fields, after NATS_.
type Credentials struct {
	Creds          string `env:"CREDS" desc:"credentials of a NATS user with a JWT: the contents of a .creds file"`
	CredsFile      string `env:"CREDS_FILE" desc:"file with the credentials"`
	NKey           string `env:"NKEY" desc:"NKey seed of a NATS user, beginning with SU"`
	NKeyFile       string `env:"NKEY_FILE" desc:"file with the seed"`
	User           string `env:"USER" desc:"name of a NATS user with a password"`
	Password       string `env:"PASSWORD" desc:"that user's password"`
	PasswordFile   string `env:"PASSWORD_FILE" desc:"file with the password"`
	Token          string `env:"TOKEN" desc:"NATS token"`
	TokenFile      string `env:"TOKEN_FILE" desc:"file with the token"`
	ClientCert     string `env:"CLIENT_CERT" desc:"client certificate for NATS, as PEM"`
	ClientCertFile string `env:"CLIENT_CERT_FILE" desc:"file with the certificate"`
	ClientKey      string `env:"CLIENT_KEY" desc:"key of the client certificate, as PEM"`
	ClientKeyFile  string `env:"CLIENT_KEY_FILE" desc:"file with the key"`
	CA             string `env:"CA" desc:"CA certificates that sign NATS' certificate, as PEM; if empty, the machine's"`
	CAFile         string `env:"CA_FILE" desc:"file with the CA certificates"`
}

// given is a value of Credentials, given directly or in a file.
type given struct{ name, text, file string }

// set reports whether there is a value.
func (g given) set() bool { return g.text != "" || g.file != "" }

// read returns the current value.
func (g given) read() (string, error) {
	if g.file == "" {
		return g.text, nil
	}
	content, err := os.ReadFile(g.file)
	if err != nil {
		return "", fmt.Errorf("WHISPERER_NATS_%s_FILE: %w", g.name, err)
	}
	if text := strings.TrimRight(string(content), "\r\n"); text != "" {
		return text, nil
	}
	return "", fmt.Errorf("WHISPERER_NATS_%s_FILE: %s is empty", g.name, g.file)
}

func (c Credentials) creds() given    { return given{"CREDS", c.Creds, c.CredsFile} }
func (c Credentials) nkey() given     { return given{"NKEY", c.NKey, c.NKeyFile} }
func (c Credentials) password() given { return given{"PASSWORD", c.Password, c.PasswordFile} }
func (c Credentials) token() given    { return given{"TOKEN", c.Token, c.TokenFile} }
func (c Credentials) cert() given     { return given{"CLIENT_CERT", c.ClientCert, c.ClientCertFile} }
func (c Credentials) key() given      { return given{"CLIENT_KEY", c.ClientKey, c.ClientKeyFile} }
func (c Credentials) ca() given       { return given{"CA", c.CA, c.CAFile} }

// Validate reports invalid variables, without their values.
func (c Credentials) Validate() error {
	_, err := c.options()
	return err
}

// contradictions reports variables that exclude each other.
func (c Credentials) contradictions() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, g := range []given{c.creds(), c.nkey(), c.password(), c.token(), c.cert(), c.key(), c.ca()} {
		if g.text != "" && g.file != "" {
			add("WHISPERER_NATS_%s, WHISPERER_NATS_%s_FILE: set one of them", g.name, g.name)
		}
	}
	ways := 0
	for _, set := range []bool{c.creds().set(), c.nkey().set(), c.User != "", c.token().set()} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		add("WHISPERER_NATS_CREDS, WHISPERER_NATS_NKEY, WHISPERER_NATS_USER, WHISPERER_NATS_TOKEN: set one of them")
	}
	if c.User == "" && c.password().set() {
		add("WHISPERER_NATS_USER: is missing beside a password")
	}
	if c.cert().set() != c.key().set() {
		add("WHISPERER_NATS_CLIENT_CERT, WHISPERER_NATS_CLIENT_KEY: set both or none")
	}
	return errors.Join(problems...)
}

// options returns the connection options for the credentials. It reads every file, so that an unreadable one is
// reported at startup.
func (c Credentials) options() ([]nats.Option, error) {
	if err := c.contradictions(); err != nil {
		return nil, err
	}
	identity, err := c.identity()
	if err != nil {
		return nil, err
	}
	trust, err := c.trust()
	return append(identity, trust...), err
}

func (c Credentials) identity() ([]nats.Option, error) {
	var option nats.Option
	switch {
	case c.creds().set():
		user := func() (string, error) {
			text, err := c.creds().read()
			if err != nil {
				return "", err
			}
			jwt, err := nkeys.ParseDecoratedJWT([]byte(text))
			if err != nil || jwt == text {
				return "", errors.New("WHISPERER_NATS_CREDS: holds no JWT between BEGIN NATS USER JWT and END, as a .creds file does")
			}
			return jwt, nil
		}
		if _, err := user(); err != nil {
			return nil, err
		}
		pair := func() (nkeys.KeyPair, error) { return c.creds().keyPair(nkeys.ParseDecoratedNKey) }
		if _, err := pair(); err != nil {
			return nil, err
		}
		option = nats.UserJWT(user, signWith(pair))
	case c.nkey().set():
		pair := func() (nkeys.KeyPair, error) { return c.nkey().keyPair(nkeys.FromSeed) }
		first, err := pair()
		if err != nil {
			return nil, err
		}
		public, err := first.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("WHISPERER_NATS_NKEY: %w", err)
		}
		option = nats.Nkey(public, signWith(pair))
	case c.User != "":
		if _, err := c.password().read(); err != nil {
			return nil, err
		}
		option = nats.UserInfoHandler(func() (string, string) {
			password, _ := c.password().read() // if the file is missing, the password is wrong until it is there again
			return c.User, password
		})
	case c.token().set():
		if _, err := c.token().read(); err != nil {
			return nil, err
		}
		option = nats.TokenHandler(func() string {
			token, _ := c.token().read()
			return token
		})
	default:
		return nil, nil
	}
	return []nats.Option{option}, nil
}

// keyPair reads a user's signing key.
func (g given) keyPair(parse func([]byte) (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	text, err := g.read()
	if err != nil {
		return nil, err
	}
	pair, err := parse([]byte(strings.TrimSpace(text)))
	if err != nil { // the original error might quote the seed
		return nil, fmt.Errorf("WHISPERER_NATS_%s: holds no seed of a user's NKey, which begins with SU", g.name)
	}
	return pair, nil
}

func signWith(pair func() (nkeys.KeyPair, error)) nats.SignatureHandler {
	return func(nonce []byte) ([]byte, error) {
		k, err := pair()
		if err != nil {
			return nil, err
		}
		defer k.Wipe()
		return k.Sign(nonce)
	}
}

func (c Credentials) trust() ([]nats.Option, error) {
	var (
		show nats.TLSCertHandler
		pool nats.RootCAsHandler
	)
	if c.cert().set() {
		show = func() (tls.Certificate, error) {
			cert, err := c.cert().read()
			if err != nil {
				return tls.Certificate{}, err
			}
			key, err := c.key().read()
			if err != nil {
				return tls.Certificate{}, err
			}
			pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
			if err != nil {
				return tls.Certificate{}, fmt.Errorf("WHISPERER_NATS_CLIENT_CERT, WHISPERER_NATS_CLIENT_KEY: %w", err)
			}
			return pair, nil
		}
		if _, err := show(); err != nil {
			return nil, err
		}
	}
	if c.ca().set() {
		pool = func() (*x509.CertPool, error) {
			text, err := c.ca().read()
			if err != nil {
				return nil, err
			}
			p := x509.NewCertPool()
			if !p.AppendCertsFromPEM([]byte(text)) {
				return nil, errors.New("WHISPERER_NATS_CA: holds no certificate as PEM")
			}
			return p, nil
		}
		if _, err := pool(); err != nil {
			return nil, err
		}
	}
	if show == nil && pool == nil {
		return nil, nil
	}
	return []nats.Option{nats.ClientTLSConfig(show, pool)}, nil
}
