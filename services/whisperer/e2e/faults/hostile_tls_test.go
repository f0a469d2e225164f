//go:build faults

package faults_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// authority signs receivers' certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "faults"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert: cert, key: key}
}

// trusted returns the setting that makes a worker trust the authority.
func (a *authority) trusted(w *world) string {
	path := filepath.Join(w.dir, "authority.pem")
	require.NoError(w.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600))
	return "SSL_CERT_FILE=" + path
}

// issue returns the TLS settings of a receiver at the address.
func (a *authority) issue(t *testing.T, address net.IP, until time.Time, protocols ...string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "receiver"}, IPAddresses: []net.IP{address},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: protocols,
		MinVersion: tls.VersionTLS12,
	}
}

// secured runs a receiver with TLS.
func secured(config *tls.Config, do talk) func(*testing.T) *hostile {
	return func(t *testing.T) *hostile {
		t.Helper()
		h := listens(t, func(h *hostile, conn net.Conn) {
			inside := tls.Server(conn, config)
			if inside.HandshakeContext(t.Context()) == nil {
				do(h, inside)
			}
		})
		h.url = "https" + strings.TrimPrefix(h.url, "http")
		return h
	}
}

// frames speaks HTTP/2. do gets each complete request, and returns whether the request was processed and whether to go on.
func frames(do func(f *http2.Framer, stream uint32) (processed, goOn bool)) talk {
	return func(h *hostile, conn net.Conn) {
		in := bufio.NewReader(conn)
		if _, err := io.CopyN(io.Discard, in, int64(len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(conn, in)
		if f.WriteSettings() != nil {
			return
		}
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.DataFrame:
				if !frame.StreamEnded() {
					continue
				}
				processed, goOn := do(f, frame.StreamID)
				if processed {
					h.requests.Add(1)
				}
				if !goOn {
					return
				}
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			}
		}
	}
}

// answerFrames answers a request with status 200 and, before the response is complete, with kib KiB of further headers.
func answerFrames(f *http2.Framer, stream uint32, kib int) bool {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	for range kib {
		_ = encoder.WriteField(hpack.HeaderField{Name: "x-flood", Value: strings.Repeat("x", 1000), Sensitive: true})
	}
	rest := block.Bytes()
	first := rest[:min(len(rest), 16<<10)]
	rest = rest[len(first):]
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: true, EndHeaders: len(rest) == 0})
	for len(rest) > 0 && err == nil {
		next := rest[:min(len(rest), 16<<10)]
		rest = rest[len(next):]
		err = f.WriteContinuation(stream, len(rest) == 0, next)
	}
	return err == nil
}
