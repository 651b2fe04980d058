package tests

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// TestTwinsOnPyKMIP has a create come through late on a server that does not keep Names unique, whose identifiers are no
// UUIDs and whose Locate names the newest first: after it was given up, made again and read.
func TestTwinsOnPyKMIP(t *testing.T) {
	p := newPKI(t)
	s := p.startPyKMIP(t, ecKey(t))
	h := helper{configs: []string{s.config}}
	id := keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
	key := get(t, h.ask, id)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := kmip.NewClient(p.clientConfig(t, s.address))
	defer client.Close()
	_, err := kmip.Do(ctx, client, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: kmip.Attributes{
		kmip.NameAttribute(id), kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES),
		kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
		kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt|kmip.UsageDecrypt),
	}})
	require.NoError(t, err)
	require.Equal(t, 2, s.count(t))

	require.Equal(t, key.Value, get(t, h.ask, id).Value, "the key that was read before")
	remove(t, h.ask, id)
	require.Zero(t, s.count(t))
	requireKind(t, h.ask(t, "get_key", args{"key_id": id}), "not_found")
}

// clientConfig is that of a client of the authority's, in KMIP 1.4.
func (p *pki) clientConfig(t *testing.T, address string) kmip.Config {
	t.Helper()
	own := p.client(t, "client")
	cert, err := tls.LoadX509KeyPair(own.cert, own.key)
	require.NoError(t, err)
	text, err := os.ReadFile(p.ca())
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(text))
	return kmip.Config{
		Hosts: []string{address}, Version: kmip.V1_4, ConnectTimeout: 5 * time.Second,
		TLS: kmip.TLS{Certificate: cert, Roots: roots, MinVersion: tls.VersionTLS12},
	}
}
