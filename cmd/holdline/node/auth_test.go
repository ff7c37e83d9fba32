package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdline/cmd/holdline/config"
)

// writeCertificate writes a certificate with a serial number.
func writeCertificate(t *testing.T, dir string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestConsoleOverTLS starts a node whose console needs a sign-in: it offers the
// setup link, serves its certificate, and takes over a renewed one.
func TestConsoleOverTLS(t *testing.T) {
	dir := t.TempDir()
	first := writeCertificate(t, dir, 1)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := pc.LocalAddr().(*net.UDPAddr).Port
	if err := pc.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(filepath.Join(dir, "holdline.yaml"), fmt.Appendf(nil, `
data: %s
sip: {listen: ["udp://127.0.0.1:%d"], trust: ["127.0.0.0/8"]}
media: {address: 127.0.0.1, ports: 20000-20099}
positions: [{id: pos-1, uri: "sip:pos-1@127.0.0.1:9"}]
routes: [{match: "*", to: [pos-1]}]
fallback: [{to: ["sip:fallback@127.0.0.1:9"]}]
console: {listen: "127.0.0.1:0", auth: {required: always}, tls: {cert: cert.pem, key: key.pem}}
`, dir, port))
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	ask := func(cert *x509.Certificate, path string) int {
		t.Helper()
		pool := x509.NewCertPool()
		pool.AddCert(cert)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
		res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + n.ConsoleAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		return func() int { defer res.Body.Close(); return res.StatusCode }()
	}
	if got := ask(first, "/v1/calls"); got != http.StatusUnauthorized {
		t.Errorf("without a sign-in: %d", got)
	}
	link, err := os.ReadFile(filepath.Join(dir, "setup-link"))
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(strings.TrimSpace(string(link)), n.ConsoleAddr().String())
	if got := ask(first, path); got != http.StatusOK || !strings.HasPrefix(string(link), "https://") {
		t.Errorf("%s is answered %d", link, got)
	}
	second := writeCertificate(t, dir, 2)
	if _, err := n.Reload(c); err != nil {
		t.Fatal(err)
	}
	if got := ask(second, "/healthz"); got != http.StatusOK {
		t.Errorf("after the reload: %d", got)
	}
}
