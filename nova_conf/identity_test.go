package novaconf_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	novaconf "kmip-keymgr/nova_conf"
)

// pemFiles are a client's files, in a directory of their own, and a configuration that names them.
type pemFiles struct {
	dir       string
	notBefore time.Time
	usages    []x509.ExtKeyUsage
	others    []asn1.ObjectIdentifier // usages that Go has no name for
	ca        bool                    // the certificate is a CA's
}

func newPEMFiles(t *testing.T) *pemFiles {
	return &pemFiles{t.TempDir(), time.Now().Add(-time.Minute), []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil, false}
}

func (p *pemFiles) path(name string) string { return filepath.Join(p.dir, name) }

func (p *pemFiles) write(t *testing.T, name, kind string, der []byte, mode os.FileMode) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	require.NoError(t, os.WriteFile(p.path(name), text, mode))
	require.NoError(t, os.Chmod(p.path(name), mode))
}

// append puts the text of one file behind that of another.
func (p *pemFiles) append(t *testing.T, to, from string) {
	t.Helper()
	first, err := os.ReadFile(p.path(to))
	require.NoError(t, err)
	second, err := os.ReadFile(p.path(from))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p.path(to), append(first, second...), 0o640))
}

// newKey is a private key in PKCS #8 that goes with nothing.
func (p *pemFiles) newKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return der
}

// make writes a certificate that signs itself, its key, and the certificate once more as the CA.
func (p *pemFiles) make(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nova"}, ExtKeyUsage: p.usages, UnknownExtKeyUsage: p.others,
		NotBefore: p.notBefore, NotAfter: p.notBefore.Add(time.Hour), IsCA: p.ca, BasicConstraintsValid: p.ca,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	p.write(t, "client.pem", "CERTIFICATE", der, 0o644)
	p.write(t, "ca.pem", "CERTIFICATE", der, 0o644)
	p.write(t, "client-key.pem", "PRIVATE KEY", keyDER, 0o640)
}

func (p *pemFiles) load(t *testing.T) (*novaconf.Files, *novaconf.KMIP) {
	t.Helper()
	text := fmt.Sprintf("[kmip]\ncertfile = %s\nkeyfile = %s\nca_certs = %s\n", p.path("client.pem"), p.path("client-key.pem"), p.path("ca.pem"))
	require.NoError(t, os.WriteFile(p.path("nova.conf"), []byte(text), 0o600))
	files, err := novaconf.Load([]novaconf.Source{{Path: p.path("nova.conf")}, {Path: p.dir, Dir: true}}, nil)
	require.NoError(t, err)
	config, err := files.KMIP()
	require.NoError(t, err)
	return files, config
}

func TestIdentity(t *testing.T) {
	p := newPEMFiles(t)
	p.make(t)
	files, config := p.load(t)
	identity, err := files.Identity(config)
	require.NoError(t, err)
	require.Equal(t, "nova", identity.Certificate.Leaf.Subject.CommonName)
	advice, err := files.CheckUsage(identity)
	require.NoError(t, err)
	require.Empty(t, advice)
	_, err = identity.Certificate.Leaf.Verify(x509.VerifyOptions{Roots: identity.Roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	require.NoError(t, err, "the roots are those of ca_certs")

	p.usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	p.make(t)
	identity, err = files.Identity(config)
	require.NoError(t, err, "some servers do not insist")
	_, err = files.CheckUsage(identity)
	require.ErrorContains(t, err, "clientAuth")

	p.usages = nil
	p.make(t)
	identity, err = files.Identity(config)
	require.NoError(t, err)
	advice, err = files.CheckUsage(identity)
	require.NoError(t, err, "a certificate that names no usage is for any")
	require.Contains(t, advice, "clientAuth")
}

// TestOtherUsages: check would pass a certificate that no server takes, or refuse one that any takes.
func TestOtherUsages(t *testing.T) {
	p := newPEMFiles(t)
	p.usages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	p.make(t)
	files, config := p.load(t)
	identity, err := files.Identity(config)
	require.NoError(t, err)
	advice, err := files.CheckUsage(identity)
	require.NoError(t, err)
	require.Empty(t, advice)

	p.usages, p.others = nil, []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}} // to log in with a smart card
	p.make(t)
	identity, err = files.Identity(config)
	require.NoError(t, err)
	_, err = files.CheckUsage(identity)
	require.ErrorContains(t, err, "lacks the extended key usage clientAuth")
}

// TestUnreadableKeyFile: that the key file is there is not enough.
func TestUnreadableKeyFile(t *testing.T) {
	p := newPEMFiles(t)
	p.make(t)
	files, config := p.load(t)
	require.NoError(t, files.CheckKeyFile(config))
	require.NoError(t, os.Chmod(filepath.Dir(p.dir), 0o755)) // which would hide the file too
	require.NoError(t, os.Chmod(p.path("client-key.pem"), 0))
	var err error
	novaconf.AsNobody(func() { err = files.CheckKeyFile(config) })
	require.ErrorContains(t, err, "permission denied")
}

// TestPipeForAKey: nobody would ever write to it, and a service would hang at its first request.
func TestPipeForAKey(t *testing.T) {
	p := newPEMFiles(t)
	p.make(t)
	files, config := p.load(t)
	require.NoError(t, os.Remove(p.path("client-key.pem")))
	require.NoError(t, syscall.Mkfifo(p.path("client-key.pem"), 0o600))
	said := make(chan error, 1)
	go func() { said <- files.CheckKeyFile(config) }()
	select {
	case err := <-said:
		require.ErrorContains(t, err, "is not a regular file")
	case <-time.After(10 * time.Second):
		require.Fail(t, "it waits")
	}
}

// TestIdentityRefused has an error for every file that cannot serve, which names the option's place and what to do.
func TestIdentityRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		spoil  func(t *testing.T, p *pemFiles)
		option string
		says   string
	}{
		{"no key", func(t *testing.T, p *pemFiles) { require.NoError(t, os.Remove(p.path("client-key.pem"))) }, "keyfile", "no such file"},
		{"a key for everybody", func(t *testing.T, p *pemFiles) { require.NoError(t, os.Chmod(p.path("client-key.pem"), 0o644)) }, "keyfile", "chmod o="},
		{"a key that others may write", func(t *testing.T, p *pemFiles) {
			require.NoError(t, os.Chmod(p.path("client-key.pem"), 0o602))
		}, "keyfile", "has mode 0602, so that others can use the key: chmod o="},
		{"a key that others may execute", func(t *testing.T, p *pemFiles) {
			require.NoError(t, os.Chmod(p.path("client-key.pem"), 0o601))
		}, "keyfile", "has mode 0601"},
		{"a directory", func(t *testing.T, p *pemFiles) {
			require.NoError(t, os.Remove(p.path("client-key.pem")))
			require.NoError(t, os.Mkdir(p.path("client-key.pem"), 0o700))
		}, "keyfile", "not a regular file"},
		{"another key", func(t *testing.T, p *pemFiles) {
			certificate, err := os.ReadFile(p.path("client.pem"))
			require.NoError(t, err)
			p.make(t)
			require.NoError(t, os.WriteFile(p.path("client.pem"), certificate, 0o644))
		}, "keyfile", "does not match"},
		{"no PEM for a certificate", func(t *testing.T, p *pemFiles) {
			require.NoError(t, os.WriteFile(p.path("client.pem"), []byte("host\n"), 0o644))
		}, "certfile", "holds no certificate in PEM"},
		{"the key for a certificate", func(t *testing.T, p *pemFiles) {
			key, err := os.ReadFile(p.path("client-key.pem"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(p.path("client.pem"), key, 0o644))
		}, "certfile", "but a PRIVATE KEY"},
		{"a broken certificate above a good one", func(t *testing.T, p *pemFiles) {
			p.write(t, "above.pem", "CERTIFICATE", []byte("x"), 0o644)
			p.append(t, "client.pem", "above.pem")
		}, "certfile", "holds a certificate that cannot be read"},
		{"the CA before the client", func(t *testing.T, p *pemFiles) {
			p.ca = true
			p.make(t)
			p.write(t, "client-key.pem", "PRIVATE KEY", p.newKey(t), 0o640)
		}, "certfile", "begins with the CA's certificate, of CN=nova: the client's own must come first"},
		{"an encrypted key behind its parameters", func(t *testing.T, p *pemFiles) {
			p.write(t, "client-key.pem", "EC PARAMETERS", []byte("curve"), 0o640)
			p.write(t, "encrypted.pem", "ENCRYPTED PRIVATE KEY", []byte("x"), 0o640)
			p.append(t, "client-key.pem", "encrypted.pem")
		}, "keyfile", "is encrypted"},
		{"a broken CA", func(t *testing.T, p *pemFiles) {
			p.write(t, "ca.pem", "CERTIFICATE", []byte("x"), 0o644)
		}, "ca_certs", "holds a certificate that cannot be read"},
		{"a CA with PEM headers, which would be none, and none the system's", func(t *testing.T, p *pemFiles) {
			text, err := os.ReadFile(p.path("ca.pem"))
			require.NoError(t, err)
			block, _ := pem.Decode(text)
			block.Headers = map[string]string{"Comment": "our CA"}
			require.NoError(t, os.WriteFile(p.path("ca.pem"), pem.EncodeToMemory(block), 0o600))
		}, "ca_certs", "has header lines within its certificates"},
		{"a broken certificate", func(t *testing.T, p *pemFiles) {
			p.write(t, "client.pem", "CERTIFICATE", []byte("x"), 0o644)
		}, "certfile", "cannot be read"},
		{"the certificate for a key", func(t *testing.T, p *pemFiles) {
			certificate, err := os.ReadFile(p.path("client.pem"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(p.path("client-key.pem"), certificate, 0o600))
		}, "keyfile", "private key"},
		{"an encrypted key", func(t *testing.T, p *pemFiles) {
			p.write(t, "client-key.pem", "ENCRYPTED PRIVATE KEY", []byte("x"), 0o600)
		}, "keyfile", "is encrypted"},
		{"a key that OpenSSL encrypted in its old way", func(t *testing.T, p *pemFiles) {
			old := &pem.Block{
				Type: "EC PRIVATE KEY", Bytes: []byte("x"),
				Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"},
			}
			require.NoError(t, os.WriteFile(p.path("client-key.pem"), pem.EncodeToMemory(old), 0o600))
		}, "keyfile", "is encrypted"},
		{"too large a certificate", func(t *testing.T, p *pemFiles) {
			require.NoError(t, os.Truncate(p.path("client.pem"), 16<<20+1))
		}, "certfile", "is too large"},
		{"a directory for the CAs", func(t *testing.T, p *pemFiles) {
			require.NoError(t, os.Remove(p.path("ca.pem")))
			require.NoError(t, os.Mkdir(p.path("ca.pem"), 0o700))
		}, "ca_certs", "is not a regular file"},
		{"no certificate", func(t *testing.T, p *pemFiles) { require.NoError(t, os.Remove(p.path("client.pem"))) }, "certfile", "no such file"},
		{"expired", func(t *testing.T, p *pemFiles) {
			p.notBefore = time.Now().Add(-2 * time.Hour)
			p.make(t)
		}, "certfile", "expired on"},
		{"not yet", func(t *testing.T, p *pemFiles) {
			p.notBefore = time.Now().Add(time.Hour)
			p.make(t)
		}, "certfile", "is not valid before"},
		{"no CA", func(t *testing.T, p *pemFiles) { require.NoError(t, os.WriteFile(p.path("ca.pem"), nil, 0o600)) }, "ca_certs", "no certificate in PEM"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPEMFiles(t)
			p.make(t)
			row.spoil(t, p)
			files, config := p.load(t)
			_, err := files.Identity(config)
			var e *novaconf.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, row.option, e.Option)
			require.Equal(t, p.path("nova.conf"), e.File)
			require.Equal(t, map[string]int{"certfile": 2, "keyfile": 3, "ca_certs": 4}[row.option], e.Line)
			require.Contains(t, e.Reason, row.says)
		})
	}
}
