package keymgr

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
)

// TestPrivateKey holds what is told by the DER against what crypto/x509 wrote.
func TestPrivateKey(t *testing.T) {
	requireKey := func(der []byte, format kmip.KeyFormatType, bits int) {
		t.Helper()
		gotFormat, gotBits := privateKey(der)
		require.Equal(t, format, gotFormat)
		require.Equal(t, bits, gotBits)
		for i := range der {
			_, got := privateKey(der[:i])
			require.Zero(t, got, "cut to %d bytes", i)
		}
		_, got := privateKey(append(der[:len(der):len(der)], 0))
		require.Zero(t, got, "a byte too many")
	}
	pkcs8 := func(key crypto.PrivateKey) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		return der
	}
	for _, bits := range []int{1024, 2047, 2048} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		require.NoError(t, err)
		requireKey(x509.MarshalPKCS1PrivateKey(key), kmip.PKCS1, bits)
		requireKey(pkcs8(key), kmip.PKCS8, bits)
	}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		der, err := x509.MarshalECPrivateKey(key)
		require.NoError(t, err)
		requireKey(der, kmip.ECPrivateKey, curve.Params().BitSize)
		requireKey(pkcs8(key), kmip.PKCS8, curve.Params().BitSize)
	}
	_, signing, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	requireKey(pkcs8(signing), kmip.PKCS8, 256)
	agreeing, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	requireKey(pkcs8(agreeing), kmip.PKCS8, 0)
	requireKey([]byte("\x30\x03\x02\x01\x00"), kmip.PKCS8, 0)
}

func FuzzPrivateKey(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(f, err)
	sec1, err := x509.MarshalECPrivateKey(key)
	require.NoError(f, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(f, err)
	modulus, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(f, err)
	f.Add(sec1)
	f.Add(pkcs8)
	f.Add(x509.MarshalPKCS1PrivateKey(modulus))
	f.Fuzz(func(t *testing.T, der []byte) {
		_, bits := privateKey(der)
		require.LessOrEqual(t, bits, max(521, 8*len(der)))
		if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
			if k, ok := key.(*rsa.PrivateKey); ok {
				require.Equal(t, k.N.BitLen(), bits)
			}
		}
	})
}
