package keymgr_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/protocol"
)

// rsaObjects are a private key, its public key and a certificate.
func rsaObjects(t *testing.T) (private, public, certificate *protocol.Object) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	publicDER, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "c"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &protocol.Object{Type: protocol.PrivateKey, Algorithm: "RSA", BitLength: 2048, Name: "private", Value: privateDER},
		&protocol.Object{Type: protocol.PublicKey, Algorithm: "RSA", BitLength: 2048, Name: "public", Value: publicDER},
		&protocol.Object{Type: protocol.Certificate, Name: "certificate", Value: der}
}
