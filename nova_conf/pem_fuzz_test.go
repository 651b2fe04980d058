package novaconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzIdentity: PEM files are read or refused, whatever is in them, and a refusal shows nothing of the key.
func FuzzIdentity(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(f, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nova"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(f, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(f, err)
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	f.Add(chain, private, chain)
	f.Add(chain, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: keyDER}), chain)
	f.Add(append(chain, private...), append(private, chain...), []byte("no certificate"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----"), []byte{}, []byte{0})
	dir := f.TempDir()
	k := &KMIP{CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "key.pem"), CACerts: filepath.Join(dir, "ca.pem")}
	files, err := load(f, dir, "[kmip]\n")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, certificate, private, ca []byte) {
		for path, text := range map[string][]byte{k.CertFile: certificate, k.KeyFile: private, k.CACerts: ca} {
			require.NoError(t, os.WriteFile(path, text, 0o600))
		}
		identity, err := files.Identity(k)
		if err != nil {
			requirePlace(t, err)
			require.Less(t, len(err.Error()), 1000)
			return
		}
		_, _ = files.CheckUsage(identity)
		require.NotNil(t, identity.Certificate.Leaf)
	})
}
