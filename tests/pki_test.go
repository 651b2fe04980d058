package tests

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pki is a certificate authority of one test, with its files in dir.
type pki struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// pair are the files of a certificate and its key.
type pair struct{ cert, key string }

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{dir: t.TempDir(), key: ecKey(t)}
	template := certificate("Test CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	p.cert = template
	p.cert = p.write(t, "ca", template, p.key).parsed(t)
	return p
}

func (p *pki) ca() string { return filepath.Join(p.dir, "ca.pem") }

// client issues a certificate by which servers know a client: PyKMIP wants exactly one CN and the extended key usage.
func (p *pki) client(t *testing.T, name string) pair {
	t.Helper()
	template := certificate(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return p.write(t, name, template, ecKey(t))
}

// server issues a certificate for this machine's loopback, after change has spoilt it.
func (p *pki) server(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) pair {
	t.Helper()
	template := certificate("server")
	template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if change != nil {
		change(template)
	}
	return p.write(t, "server", template, key)
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
}

// write signs a certificate and writes name.pem and name-key.pem, the key for its owner alone.
func (p *pki) write(t *testing.T, name string, template *x509.Certificate, key crypto.Signer) pair {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, key.Public(), p.key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	files := pair{filepath.Join(p.dir, name+".pem"), filepath.Join(p.dir, name+"-key.pem")}
	writePEM(t, files.cert, "CERTIFICATE", der)
	writePEM(t, files.key, "PRIVATE KEY", keyDER)
	return files
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// parsed reads the certificate back.
func (f pair) parsed(t *testing.T) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(f.cert)
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}
