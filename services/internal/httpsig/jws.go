package httpsig

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// jwsHeader is the protected header of a JWS.
type jwsHeader struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
}

// SignJWS signs a payload as a compact JWS (RFC 7515). The header names the key by its thumbprint.
func (k *Key) SignJWS(payload []byte) (string, error) {
	header, err := json.Marshal(jwsHeader{Alg: k.Public.Alg, Kid: k.ID})
	if err != nil {
		return "", fmt.Errorf("write header of JWS: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(header) + "." + encode(payload)
	signature, err := k.sign([]byte(text))
	if err != nil {
		return "", err
	}
	return text + "." + encode(signature), nil
}

// VerifyJWS returns the payload of a compact JWS and the id of the key that signed it. The key, not the header,
// determines the algorithm, and the key's id must be its thumbprint.
func VerifyJWS(token string, keys []JWK) (payload []byte, kid string, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, "", errors.New("the signature is no compact JWS")
	}
	var decoded [3][]byte
	for i, part := range parts {
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return nil, "", fmt.Errorf("the signature is no compact JWS: %w", err)
		}
	}
	var header jwsHeader
	if err := json.Unmarshal(decoded[0], &header); err != nil {
		return nil, "", fmt.Errorf("read header of JWS: %w", err)
	}
	for _, k := range keys {
		if k.Kid != header.Kid {
			continue
		}
		if k.Alg != header.Alg || !k.verify([]byte(parts[0]+"."+parts[1]), decoded[2]) {
			return nil, "", fmt.Errorf("the signature is not of the key %s", k.Kid)
		}
		return decoded[1], k.Kid, nil
	}
	return nil, "", fmt.Errorf("there is no key %s among those given", header.Kid)
}

// verify reports whether the key is well-formed, its id is the thumbprint of its public half, and it made the
// signature.
func (k *JWK) verify(text, signature []byte) bool {
	key := k.public()
	same, err := publicJWK(key)
	if err != nil || same.Kid != k.Kid || same.Alg != k.Alg {
		return false
	}
	return verifies(key, "", text, signature)
}
