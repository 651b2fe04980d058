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
	"encoding/asn1"
	"strings"
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
	with := func(der []byte, more string) []byte {
		all, err := asn1.Marshal(append(sequence(der), asn1.RawValue{FullBytes: []byte(more)}))
		require.NoError(t, err)
		return all
	}
	requireKey(with(pkcs8(signing), "\xa0\x00"), kmip.PKCS8, 256) // attributes
	factors, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	pkcs1 := x509.MarshalPKCS1PrivateKey(factors)
	requireKey(with(pkcs1, "\x30\x00"), kmip.PKCS1, 1024)                       // of more than two primes
	requireKey(append([]byte{asn1.TagSet | 1<<5}, pkcs1[1:]...), kmip.PKCS8, 0) // no SEQUENCE
	const (
		version = "\x02\x01\x01"
		key     = "\x04\x01\x07"
		curve   = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	)
	for text, format := range map[string]kmip.KeyFormatType{
		version + key:                          kmip.ECPrivateKey, // without a curve
		"\x30\x00" + key:                       kmip.PKCS8,        // encrypted
		version:                                kmip.PKCS8,
		version + "\x30\x00" + key:             kmip.PKCS8,
		version + "\x30\x03\x06\x01\x00" + key: kmip.PKCS8,
		version + "\x30\x09\x06\x07" + oidEC + key:                                 kmip.PKCS8, // without a curve
		version + "\x30\x13\x06\x07" + oidEC + curve + "\x03\x01\x00":              kmip.PKCS8, // a public key
		version + "\x30\x0b\x06\x09" + oidRSA + "\x04\x08\x30\x06" + version + key: kmip.PKCS8, // not an RSA key
		strings.Repeat("\x05\x00", 9):                                              kmip.PKCS8,
		strings.Repeat("\x82\x01\x07", 9):                                          kmip.PKCS8,
	} {
		requireKey(with(nil, text), format, 0)
	}
}

// TestBrokenDER: what a key's owner writes otherwise than in DER is his affair.
func TestBrokenDER(t *testing.T) {
	for key, broken := range map[string]bool{
		"": false, "-----BEGIN": false, "\x31\x03\x02": false, "\x30\x03\x02\x01\x00": false,
		"\x30": true, "\x30\x03\x02\x01": true, "\x30\x03\x02\x01\x00\x00": true, "\x30\x04\x02\x01\x00\x02": true,
	} {
		require.Equal(t, broken, isBrokenDER([]byte(key)), "%x", key)
	}
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
