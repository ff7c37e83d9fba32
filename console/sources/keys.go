package sources

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/cloudflare/circl/sign/ed448"
)

// Key is a public key of somebody who signs log events: Ed448, which i3
// requires, or Ed25519. Go's standard library knows only the second.
type Key struct {
	Name    string // of its certificate, or of the file it was in
	ed25519 ed25519.PublicKey
	ed448   ed448.PublicKey
}

// verifies tells whether signature is this key's for message (RFC 8032, RFC 8037).
func (k Key) verifies(message, signature []byte) bool {
	switch {
	case k.ed448 != nil:
		return len(signature) == ed448.SignatureSize && ed448.Verify(k.ed448, message, signature, "")
	case k.ed25519 != nil:
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(k.ed25519, message, signature)
	}
	return false
}

// The curves' identifiers (RFC 8410 section 3).
var (
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidEd448   = asn1.ObjectIdentifier{1, 3, 101, 113}
)

// publicKey reads a SubjectPublicKeyInfo.
func publicKey(der []byte) (Key, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return Key{}, fmt.Errorf("it is no public key: %w", err)
	}
	bytes := info.Key.RightAlign()
	switch {
	case info.Algorithm.Algorithm.Equal(oidEd448) && len(bytes) == ed448.PublicKeySize:
		return Key{ed448: bytes}, nil
	case info.Algorithm.Algorithm.Equal(oidEd25519) && len(bytes) == ed25519.PublicKeySize:
		return Key{ed25519: bytes}, nil
	}
	return Key{}, errors.New("its key is neither Ed448 nor Ed25519, the only ones that log events are signed with")
}

// certified is the key of a certificate, named after its subject.
func certified(c *x509.Certificate) (Key, error) {
	k, err := publicKey(c.RawSubjectPublicKeyInfo)
	k.Name = c.Subject.CommonName
	if k.Name == "" && len(c.DNSNames) > 0 {
		k.Name = c.DNSNames[0]
	}
	return k, err
}

// ParseKeys reads the public keys and the certificates in a PEM file; name
// stands for keys that have none.
func ParseKeys(name string, text []byte) ([]Key, error) {
	var keys []Key
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		var k Key
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			k, err = publicKey(block.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				k, err = certified(c)
			}
		default:
			err = fmt.Errorf("a block %q is neither a public key nor a certificate", block.Type)
		}
		if err != nil {
			return nil, err
		}
		if k.Name == "" {
			k.Name = name
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no PEM block with a public key or a certificate in it")
	}
	return keys, nil
}

// Roots are authorities that vouch for senders of log events.
type Roots struct {
	pool   *x509.CertPool
	signed []authority // those that Go cannot verify with: Ed448
}

type authority struct {
	subject string
	key     Key
}

// ParseRoots reads the certificates of authorities in a PEM file.
func ParseRoots(text []byte) (*Roots, error) {
	r := &Roots{pool: x509.NewCertPool()}
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a block %q is no certificate", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate cannot be read: %w", err)
		}
		r.pool.AddCert(c)
		if k, err := certified(c); err == nil && k.ed448 != nil {
			r.signed = append(r.signed, authority{string(c.RawSubject), k})
		}
		n++
	}
	if n == 0 {
		return nil, errors.New("there is no PEM block with a certificate in it")
	}
	return r, nil
}

// vouches returns the key of the first certificate of a chain (RFC 7515 section
// 4.1.6, x5c) if an authority stands for it.
func (r *Roots) vouches(chain []*x509.Certificate, now time.Time) (Key, error) {
	leaf := chain[0]
	key, err := certified(leaf)
	if err != nil {
		return Key{}, err
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: r.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil || r.directly(leaf, now) {
		return key, nil
	}
	return Key{}, fmt.Errorf("no configured authority stands for the certificate: %w", err)
}

// directly tells whether an Ed448 authority itself signed the certificate.
func (r *Roots) directly(leaf *x509.Certificate, now time.Time) bool {
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return false
	}
	for _, a := range r.signed {
		if a.subject == string(leaf.RawIssuer) && a.key.verifies(leaf.RawTBSCertificate, leaf.Signature) {
			return true
		}
	}
	return false
}
