package sources

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The statuses of an i3 logging service (NENA-STA-010.3 section 4.12.3; the
// registry of status codes is section 10.35).
const (
	statusSignature = 434 // signature verification failure
	statusAlgorithm = 438 // unacceptable algorithm
	statusOther     = 454 // unspecified error
	statusBad       = 460 // bad LogEvent
	statusTooBig    = 461 // LogEvent too big
)

// LogError is why a log event was not taken.
type LogError struct {
	Status  int
	Message string
	Hint    string
}

func (e *LogError) Error() string { return e.Message }

func logError(status int, hint, format string, args ...any) *LogError {
	return &LogError{status, fmt.Sprintf(format, args...), hint}
}

// jws is a JSON Web Signature in flattened form (RFC 7515 section 7.2.2).
type jws struct {
	Protected string          `json:"protected"`
	Payload   string          `json:"payload"`
	Signature string          `json:"signature"`
	Header    json.RawMessage `json:"header"`
}

// header is what of a signature's header is looked at.
type header struct {
	Alg   string   `json:"alg"`
	KeyID string   `json:"kid"`
	X5C   []string `json:"x5c"`
	Crit  []string `json:"crit"`
}

// unsigned is who signed what nobody did.
const unsigned = "nobody"

// readJWS reads a signed message. The standard says flattened (RFC 7515 section
// 7.2.2); what is meant by an object with that in its only member, by the
// general form with one signature (7.2.1) and by the compact one (7.1) is as
// clear.
func readJWS(message []byte) (j jws, err error) {
	message = bytes.TrimSpace(message)
	if parts := bytes.Split(message, []byte(".")); len(parts) == 3 && !bytes.ContainsAny(message, "{\"") {
		return jws{Protected: string(parts[0]), Payload: string(parts[1]), Signature: string(parts[2])}, nil
	}
	var m struct {
		jws
		Signatures []jws `json:"signatures"`
	}
	if err := json.Unmarshal(unwrapped(message, "payload"), &m); err != nil {
		return j, err
	}
	if len(m.Signatures) == 1 && m.Protected == "" && m.Signature == "" {
		one := m.Signatures[0]
		one.Payload = m.Payload
		return one, nil
	}
	return m.jws, nil
}

// unwrapped is the object that has the member: o itself, or what its only
// member holds.
func unwrapped(o []byte, member string) []byte {
	var outer map[string]json.RawMessage
	if json.Unmarshal(o, &outer) != nil || len(outer) != 1 || outer[member] != nil {
		return o
	}
	for _, inner := range outer {
		var has map[string]json.RawMessage
		if json.Unmarshal(inner, &has) == nil && has[member] != nil {
			return inner
		}
	}
	return o
}

// open verifies a message and returns its payload and who signed it.
func (s *Settings) open(message []byte, now time.Time) (payload []byte, signer string, err error) {
	j, err := readJWS(message)
	if err != nil {
		return nil, "", logError(statusBad, "send a flattened JSON Web Signature (RFC 7515 section 7.2.2)", "the body is not a JSON object: %v", err)
	}
	if j.Payload == "" {
		return nil, "", logError(statusBad, "send a flattened JSON Web Signature: protected, payload, signature", "the body has no payload")
	}
	payload, err = decode64(j.Payload)
	if err != nil {
		return nil, "", logError(statusBad, "payload must be base64url", "the payload cannot be read: %v", err)
	}
	h, err := j.head()
	if err != nil {
		return nil, "", logError(statusBad, "protected must be base64url of a JSON object", "the header cannot be read: %v", err)
	}
	switch {
	case len(h.Crit) > 0:
		return nil, "", logError(statusAlgorithm, "leave crit out", "the extensions %s are not understood", strings.Join(h.Crit, ", "))
	case h.Alg == "none" && s.Unsigned && j.Signature == "":
		return payload, unsigned, nil
	case h.Alg == "none":
		return nil, "", logError(statusAlgorithm, "sign with EdDSA, or set intake.logger.unsigned", "log events without a signature are not taken here")
	case h.Alg != "EdDSA" && h.Alg != "Ed448" && h.Alg != "Ed25519":
		return nil, "", logError(statusAlgorithm, "sign with EdDSA over Ed448", "the algorithm %q is not taken", h.Alg)
	}
	signer, err = s.verify(&j, h, now)
	return payload, signer, err
}

// head is the protected header; only an unsigned message may have an
// unprotected one instead.
func (j *jws) head() (h header, err error) {
	text := []byte(j.Header)
	if j.Protected != "" {
		if text, err = decode64(j.Protected); err != nil {
			return h, err
		}
	}
	if len(text) == 0 {
		return header{Alg: "none"}, nil
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, err
	}
	if j.Protected == "" && h.Alg != "none" {
		return h, fmt.Errorf("alg must be in the protected header")
	}
	return h, nil
}

// verify finds the key: that of the certificate that came along, if an
// authority stands for it, or one of the configured keys.
func (s *Settings) verify(j *jws, h header, now time.Time) (signer string, err error) {
	signature, err := decode64(j.Signature)
	if err != nil {
		return "", logError(statusSignature, "signature must be base64url", "the signature cannot be read: %v", err)
	}
	message := []byte(j.Protected + "." + j.Payload)
	const hint = "put the sender's public key into intake.logger.keys, or its authority into intake.logger.roots"
	for _, k := range s.Keys {
		if k.verifies(message, signature) {
			return k.Name, nil
		}
	}
	if len(h.X5C) == 0 || s.Roots == nil {
		return "", logError(statusSignature, hint, "no configured key verifies the signature")
	}
	chain, err := certificates(h.X5C)
	if err != nil {
		return "", logError(statusSignature, "x5c holds base64 of DER, the signer's first", "the certificates cannot be read: %v", err)
	}
	key, err := s.Roots.vouches(chain, now)
	if err != nil {
		return "", logError(statusSignature, hint, "%v", err)
	}
	if !key.verifies(message, signature) {
		return "", logError(statusSignature, hint, "the certificate's key does not verify the signature")
	}
	return key.Name, nil
}

// maxChain bounds the certificates of a message.
const maxChain = 8

func certificates(x5c []string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, text := range x5c[:min(len(x5c), maxChain)] {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// decode64 reads base64url, with or without padding.
func decode64(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
