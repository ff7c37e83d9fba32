package sources

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/circl/sign/ed448"
	"github.com/google/go-cmp/cmp"
)

// signer signs as an element of an ESInet does.
type signer struct {
	pub  ed448.PublicKey
	priv ed448.PrivateKey
}

func newSigner(t testing.TB) signer {
	t.Helper()
	pub, priv, err := ed448.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{pub, priv}
}

var url64 = base64.RawURLEncoding.EncodeToString

// message is a flattened JWS.
func message(head map[string]any, payload string, sign func([]byte) []byte) []byte {
	text, _ := json.Marshal(head)
	protected, body := url64(text), url64([]byte(payload))
	out, _ := json.Marshal(map[string]string{"protected": protected, "payload": body, "signature": url64(sign([]byte(protected + "." + body)))})
	return out
}

func (s signer) sign(m []byte) []byte { return ed448.Sign(s.priv, m, "") }

func (s signer) event(payload string) []byte {
	return message(map[string]any{"alg": "EdDSA"}, payload, s.sign)
}

// spki is a SubjectPublicKeyInfo (RFC 8410).
func spki(oid asn1.ObjectIdentifier, key []byte) []byte {
	der, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: oid}, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}})
	if err != nil {
		panic(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestKeysFromFiles(t *testing.T) {
	s := newSigner(t)
	pub, _, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pemOf("PUBLIC KEY", spki(oidEd448, s.pub)), pemOf("PUBLIC KEY", spki(oidEd25519, pub))...)
	keys, err := ParseKeys("chs.pem", text)
	if err != nil || len(keys) != 2 || keys[0].Name != "chs.pem" || string(keys[0].ed448) != string(s.pub) || string(keys[1].ed25519) != string(pub) {
		t.Errorf("keys %+v, %v", keys, err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"another curve": pemOf("PUBLIC KEY", other), "a private key": pemOf("PRIVATE KEY", []byte{1}), "no PEM": []byte("key"),
		"not DER": pemOf("PUBLIC KEY", []byte{1}), "no certificate": pemOf("CERTIFICATE", []byte{1}), "too short": pemOf("PUBLIC KEY", spki(oidEd448, []byte{1})),
	} {
		if keys, err := ParseKeys("x", bad); err == nil {
			t.Errorf("%s: %+v", name, keys)
		}
	}
}

const agentEvent = `{"logEventType":"AgentStateChangeLogEvent","timestamp":"2026-03-01T12:00:00-05:00","elementId":"chs.psap.example",
	"agencyId":"psap.example","agencyAgentId":"ann@psap.example","agencyPositionId":"pos-1@psap.example","primaryAgentState":"Available"}`

// TestSignatures: what is signed by a known key, or by one that a known
// authority stands for, is taken; everything else is refused with i3's statuses.
func TestSignatures(t *testing.T) {
	known, stranger := newSigner(t), newSigner(t)
	pub25519, priv25519, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := Key{Name: "chs", ed448: known.pub}
	sign25519 := func(m []byte) []byte { return ed25519.Sign(priv25519, m) }
	eddsa := map[string]any{"alg": "EdDSA"}
	unsignedEvent := []byte(`{"protected":"` + url64([]byte(`{"alg":"none"}`)) + `","payload":"` + url64([]byte(agentEvent)) + `","signature":""}`)
	flat := strings.Trim(string(known.event(agentEvent)), "{}")
	var parts jws
	if err := json.Unmarshal(known.event(agentEvent), &parts); err != nil {
		t.Fatal(err)
	}
	general := `{"payload":"` + parts.Payload + `","signatures":[{"protected":"` + parts.Protected + `","signature":"` + parts.Signature + `"}]}`
	tampered := []byte(strings.Replace(string(known.event(agentEvent)), url64([]byte(agentEvent)), url64([]byte(strings.Replace(agentEvent, "ann", "bob", 1))), 1))
	tests := map[string]struct {
		settings Settings
		message  []byte
		status   int
	}{
		"Ed448":                            {Settings{Keys: []Key{key}}, known.event(agentEvent), 0},
		"Ed25519":                          {Settings{Keys: []Key{key, {ed25519: pub25519}}}, message(eddsa, agentEvent, sign25519), 0},
		"in an envelope":                   {Settings{Keys: []Key{key}}, []byte(`{"logEvent":{` + flat + `}}`), 0},
		"the event in one":                 {Settings{Keys: []Key{key}}, known.event(`{"logEvent":` + agentEvent + `}`), 0},
		"the general form":                 {Settings{Keys: []Key{key}}, []byte(general), 0},
		"the compact form":                 {Settings{Keys: []Key{key}}, []byte(parts.Protected + "." + parts.Payload + "." + parts.Signature + "\n"), 0},
		"the general form, by a stranger":  {Settings{Keys: []Key{{Name: "chs", ed448: stranger.pub}}}, []byte(general), 434},
		"the compact form, by a stranger":  {Settings{Keys: []Key{{Name: "chs", ed448: stranger.pub}}}, []byte(parts.Protected + "." + parts.Payload + "." + parts.Signature), 434},
		"an unknown key":                   {Settings{Keys: []Key{key}}, stranger.event(agentEvent), 434},
		"no keys at all":                   {Settings{}, known.event(agentEvent), 434},
		"a payload that was changed":       {Settings{Keys: []Key{key}}, tampered, 434},
		"no signature, which is forbidden": {Settings{Keys: []Key{key}}, unsignedEvent, 438},
		"no signature, which is allowed":   {Settings{Unsigned: true}, unsignedEvent, 0},
		"no header, which is allowed":      {Settings{Unsigned: true}, []byte(`{"payload":"` + url64([]byte(agentEvent)) + `"}`), 0},
		"no header at all":                 {Settings{Keys: []Key{key}}, []byte(`{"payload":"` + url64([]byte(agentEvent)) + `"}`), 438},
		"none, and a signature":            {Settings{Unsigned: true}, message(map[string]any{"alg": "none"}, agentEvent, known.sign), 438},
		"another algorithm":                {Settings{Keys: []Key{key}}, message(map[string]any{"alg": "HS256"}, agentEvent, known.sign), 438},
		"an extension":                     {Settings{Keys: []Key{key}}, message(map[string]any{"alg": "EdDSA", "crit": []string{"b64"}, "b64": false}, agentEvent, known.sign), 438},
		"an unprotected algorithm":         {Settings{Unsigned: true}, []byte(`{"header":{"alg":"EdDSA"},"payload":"e30","signature":""}`), 460},
		"a certificate of nobody known":    {Settings{Keys: []Key{key}}, message(map[string]any{"alg": "EdDSA", "x5c": []string{"AA"}}, agentEvent, stranger.sign), 434},
		"not JSON":                         {Settings{Unsigned: true}, []byte(`LogEvent`), 460},
		"no payload":                       {Settings{Unsigned: true}, []byte(`{}`), 460},
		"a payload that is no event":       {Settings{Keys: []Key{key}}, known.event(`[1]`), 460},
		"an event without a type":          {Settings{Keys: []Key{key}}, known.event(`{"elementId":"x"}`), 460},
		"too large":                        {Settings{Keys: []Key{key}}, known.event(strings.Repeat(" ", MaxEvent)), 461},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.settings.Rate = 10
			d := newDesk(t, tc.settings)
			id, err := d.in.LogEvent(t.Context(), tc.message)
			var refused *LogError
			switch {
			case tc.status == 0 && (err != nil || !strings.HasPrefix(id, "urn:emergency:uid:logid:") || len(d.journaled("log.event")) != 1):
				t.Errorf("id %q, %v, journaled %q", id, err, d.journaled("log.event"))
			case tc.status != 0 && (!errors.As(err, &refused) || refused.Status != tc.status || refused.Hint == ""):
				t.Errorf("refused with %+v (%v), want %d", refused, err, tc.status)
			case tc.status != 0 && len(d.journaled("log.event")) > 0:
				t.Error("what was refused is journaled")
			}
		})
	}
}

// authority signs certificates: of Ed448 keys by hand, because the standard
// library does not know the curve.
func certificate(t *testing.T, subject string, key []byte, parent *x509.Certificate, parentKey any, until time.Time) []byte {
	t.Helper()
	placeholder, _, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: subject},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	ca, ok := parentKey.(ed25519.PrivateKey)
	if !ok {
		t.Fatalf("an authority's key is %T", parentKey)
	}
	der, err := x509.CreateCertificate(crand.Reader, template, parent, placeholder, ca)
	if err != nil {
		t.Fatal(err)
	}
	return resign(t, der, key, func(m []byte) []byte { return ed25519.Sign(ca, m) })
}

// resign puts another key into a certificate and signs it again.
func resign(t *testing.T, der, key []byte, sign func([]byte) []byte) []byte {
	t.Helper()
	var outer struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		t.Fatal(err)
	}
	var tbs struct {
		Raw        asn1.RawContent
		Version    int `asn1:"optional,explicit,default:0,tag:0"`
		Serial     *big.Int
		Algorithm  pkix.AlgorithmIdentifier
		Issuer     asn1.RawValue
		Validity   asn1.RawValue
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Extensions []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
	}
	if _, err := asn1.Unmarshal(outer.TBS.FullBytes, &tbs); err != nil {
		t.Fatal(err)
	}
	tbs.Raw = nil
	tbs.PublicKey = asn1.RawValue{FullBytes: spki(oidEd448, key)}
	inner, err := asn1.Marshal(tbs)
	if err != nil {
		t.Fatal(err)
	}
	signature := sign(inner)
	outer.TBS = asn1.RawValue{FullBytes: inner}
	outer.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	out, err := asn1.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAuthorities: an element that brings its certificate is believed when a
// configured authority signed it and it is valid now.
func TestAuthorities(t *testing.T) {
	_, caKey, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "PCA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	caDER, err := x509.CreateCertificate(crand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := ParseRoots(pemOf("CERTIFICATE", caDER))
	if err != nil {
		t.Fatal(err)
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		t.Fatal(err)
	}
	element := newSigner(t)
	good := certificate(t, "chs.psap.example", element.pub, ca, caKey, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	old := certificate(t, "chs.psap.example", element.pub, ca, caKey, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	// An authority with an Ed448 key of its own.
	own := newSigner(t)
	ownDER := resign(t, caDER, own.pub, own.sign)
	ownRoots, err := ParseRoots(pemOf("CERTIFICATE", ownDER))
	if err != nil {
		t.Fatal(err)
	}
	byOwn := resign(t, good, element.pub, own.sign)

	send := func(r *Roots, der []byte, signing signer) (string, error) {
		d := newDesk(t, Settings{Roots: r, Rate: 10})
		_, err := d.in.LogEvent(t.Context(), message(map[string]any{"alg": "EdDSA", "x5c": []string{base64.StdEncoding.EncodeToString(der)}}, agentEvent, signing.sign))
		return strings.Join(d.journaled("log.event"), ""), err
	}
	for name, tc := range map[string]struct {
		roots *Roots
		der   []byte
		by    signer
		ok    bool
	}{
		"a certificate of the authority":       {roots, good, element, true},
		"of an authority with an Ed448 key":    {ownRoots, byOwn, element, true},
		"one that has expired":                 {roots, old, element, false},
		"one of another authority":             {ownRoots, good, element, false},
		"somebody else's certificate":          {roots, good, newSigner(t), false},
		"a certificate where none is believed": {nil, good, element, false},
	} {
		record, err := send(tc.roots, tc.der, tc.by)
		if (err == nil) != tc.ok || tc.ok && !strings.Contains(record, `"signer":"chs.psap.example"`) {
			t.Errorf("%s: %v, %s", name, err, record)
		}
	}
}

func (d *desk) log(fields string) {
	d.t.Helper()
	text := `{"timestamp":"2026-03-01T12:00:00Z","elementId":"chs.psap.example","agencyId":"psap.example",` + fields + `}`
	if _, err := d.in.LogEvent(d.t.Context(), []byte(`{"payload":"`+url64([]byte(text))+`"}`)); err != nil {
		d.t.Fatal(err)
	}
}

func TestAgentsFromLogEvents(t *testing.T) {
	d := newDesk(t, Settings{Unsigned: true, Rate: 100, Desks: map[string]string{"desk 4": "pos-2"}})
	agent := `"logEventType":"AgentStateChangeLogEvent","agencyAgentId":"ann",`
	for _, e := range []string{
		agent + `"agencyPositionId":"pos-1@psap.example","primaryAgentState":"Available"`,
		agent + `"agencyPositionId":"pos-1","primaryAgentState":"NotAvailable","secondaryAgentState":"Break"`,
		agent + `"deviceId":"desk 4","primaryAgentState":"Available"`,
		agent + `"agencyPositionId":"pos-1","primaryAgentState":"NotAvailable","secondaryAgentState":"Logged Out"`,
		agent + `"agencyPositionId":"pos-2","primaryAgentState":"LoggedOut"`,
		agent + `"agencyPositionId":"elsewhere","primaryAgentState":"Available"`,
		agent + `"primaryAgentState":"Available"`,
		`"logEventType":"CallStateChangeLogEvent","agencyAgentId":"bob","agencyPositionId":"pos-2","state":"callAnswered","direction":"incoming"`,
		`"logEventType":"CallStateChangeLogEvent","agencyAgentId":"eve","agencyPositionId":"pos-2","state":"callAlerting","direction":"incoming"`,
	} {
		d.log(e)
	}
	want := []string{"pos-1 ann logger", "pos-1 ann logger", "pos-2 ann logger", "pos-1 out logger", "pos-2 out logger", "pos-2 bob logger"}
	if diff := cmp.Diff(want, d.signed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := d.journaled("log.event"); len(got) != 9 {
		t.Errorf("%d events journaled, want all", len(got))
	}
}

// TestEventsOfACall: an EIDO in a log event marks the call; what else is said of
// it is kept with it.
func TestEventsOfACall(t *testing.T) {
	d := newDesk(t, Settings{Unsigned: true, Rate: 100})
	d.begins(one)
	doc, err := json.Marshal(incidentDoc)
	if err != nil {
		t.Fatal(err)
	}
	d.log(`"logEventType":"EidoLogEvent","direction":"outgoing","body":` + string(doc))
	want := []string{"location=12 Canal chs.psap.example/logger", "nature=Fire chs.psap.example/logger", "incident=26-7 chs.psap.example/logger"}
	if diff := cmp.Diff(want, d.has(one.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	d.log(`"logEventType":"EidoLogEvent","direction":"incoming","eido":` + strings.Replace(string(doc), "Fire", "Flood", 1))
	if got := d.has(one.ID); !slices.Contains(got, "nature=Flood chs.psap.example/logger") {
		t.Errorf("by another name: %q", got)
	}
	d.log(`"logEventType":"CallTransferLogEvent","callId":"` + callURN + `","callIdSIP":"other@chs","target":"sip:7@county.example"`)
	if want := []string{one.ID + " to sip:7@county.example"}; !slices.Equal(d.given, want) {
		t.Errorf("the call was told of %q, want %q", d.given, want)
	}
	d.ends(one)
	d.log(`"logEventType":"CallEndLogEvent","callId":"` + callURN + `"`)
	d.log(`"logEventType":"EidoLogEvent","direction":"incoming","reference":"https://x"`)
	d.log(`"logEventType":"EidoLogEvent","direction":"incoming","body":"{"`)
	got := d.journaled("log.event")
	if len(got) != 6 || !strings.HasPrefix(got[2], one.ID+" ") || !strings.HasPrefix(got[3], one.ID+" ") || !strings.Contains(got[2], "sip:7@county.example") {
		t.Errorf("journaled %q", got)
	}
}

// TestFloodOfEvents: what nothing follows from fills the journal only so far,
// what is used is never dropped, and what was dropped is told.
func TestFloodOfEvents(t *testing.T) {
	d := newDesk(t, Settings{Unsigned: true, Rate: 2})
	for range 100 {
		d.log(`"logEventType":"CallSignalingMessageLogEvent","text":"INVITE","direction":"incoming"`)
	}
	for n := range 30 {
		d.log(fmt.Sprintf(`"logEventType":"AgentStateChangeLogEvent","agencyAgentId":"a%d","agencyPositionId":"pos-1","primaryAgentState":"Available"`, n))
	}
	if got := len(d.journaled("log.event")); got != 20+30 || len(d.signed) != 30 {
		t.Errorf("%d events journaled and %d sign-ins, want the first 20 of the flood and 30", got, len(d.signed))
	}
	lost := d.journaled("log.dropped")
	if len(lost) != 1 || !strings.Contains(lost[0], `"events":80`) || d.in.Stats().Dropped != 80 {
		t.Errorf("told %q, counted %d", lost, d.in.Stats().Dropped)
	}
	d.pass(time.Minute)
	d.log(`"logEventType":"MessageLogEvent","text":"` + strings.Repeat("x", keptEvent) + `"`)
	all := d.journaled("log.event")
	if last := all[len(all)-1]; !strings.Contains(last, `"truncated":`) || len(last) > 2*keptEvent {
		t.Errorf("a large event is kept as %d bytes", len(last))
	}
}

// FuzzLogEvent holds that nothing that is sent makes the program fail, and that
// nothing is taken that no key signed.
func FuzzLogEvent(f *testing.F) {
	s := newSigner(f)
	f.Add(s.event(agentEvent))
	f.Add([]byte(`{"payload":"e30"}`))
	f.Add([]byte(`{"protected":"eyJhbGciOiJFZERTQSIsIng1YyI6WyJBQSJdfQ","payload":"e30","signature":"AA"}`))
	settings := Settings{Keys: []Key{{Name: "x", ed448: newSigner(f).pub}}, Roots: &Roots{pool: x509.NewCertPool()}}
	f.Fuzz(func(t *testing.T, message []byte) {
		_, signer, err := settings.open(message, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		if err == nil {
			t.Errorf("signed by %q: %s", signer, message)
		}
	})
}
