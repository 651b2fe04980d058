package mock_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
)

func TestUsers(t *testing.T) {
	fred, err := mock.ParseUser("Fred:pass:word")
	require.NoError(t, err)
	barney, err := mock.ParseUser("Barney:secret")
	require.NoError(t, err)
	server := start(t, mock.Config{Users: []mock.User{fred, barney}})
	as := func(credentials ...kmip.Credential) *kmip.Client {
		config := server.Client()
		config.Credentials = credentials
		return connect(t, config, kmip.V1_4)
	}
	for name, c := range map[string]*kmip.Client{
		"none":           as(),
		"wrong password": as(kmip.PasswordCredential("Fred", []byte("word"))),
		"unknown user":   as(kmip.PasswordCredential("Wilma", []byte("secret"))),
		"other's":        as(kmip.PasswordCredential("Fred", []byte("secret"))),
	} {
		t.Run(name, func(t *testing.T) { refused(t, c, &kmip.Locate{}, kmip.AuthenticationNotSuccessful) })
	}
	id := do(t, connect(t, server.Client(), kmip.V1_4), createAES()).UniqueIdentifier
	do(t, as(kmip.PasswordCredential("Fred", []byte("pass:word"))), &kmip.Get{UniqueIdentifier: id})
	refused(t, as(kmip.PasswordCredential("Barney", []byte("secret"))), &kmip.Get{UniqueIdentifier: id}, kmip.PermissionDenied)

	for _, text := range []string{"", "Fred", ":word", "Fred:"} {
		_, err := mock.ParseUser(text)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "word")
	}
}

func TestWithoutUsersAnyPasswordPasses(t *testing.T) {
	server := start(t, mock.Config{})
	config := server.Client()
	config.Credentials = []kmip.Credential{kmip.PasswordCredential("anyone", []byte("anything"))}
	id := do(t, connect(t, config, kmip.V1_4), createAES()).UniqueIdentifier
	do(t, connect(t, server.Client(), kmip.V1_4), &kmip.Get{UniqueIdentifier: id})
}

func TestAnAuthenticatorDecides(t *testing.T) {
	server := start(t, mock.Config{Authenticate: func(_ context.Context, _ *tls.ConnectionState, c []kmip.Credential) (mock.Identity, error) {
		if len(c) == 0 {
			return mock.Identity{}, kmip.AuthenticationNotSuccessful
		}
		return mock.Identity{Owner: "everyone"}, nil
	}})
	refused(t, connect(t, server.Client(), kmip.V1_4), &kmip.Locate{}, kmip.AuthenticationNotSuccessful)
	config := server.OtherClient()
	config.Credentials = []kmip.Credential{{Type: 0x80000001}}
	config.Credentials[0].Value = kmip.PasswordCredential("a", []byte("b")).Value
	do(t, connect(t, config, kmip.V1_4), &kmip.Locate{})
}

// TestClientCertificates: PyKMIP's rules. A certificate of another CA does not get through the handshake.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	pki, err := mock.OpenPKI(dir)
	require.NoError(t, err)
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem"))
	require.NoError(t, err)
	server := start(t, mock.Config{PKI: pki})
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	name := func(names ...string) (n pkix.Name) {
		for _, text := range names {
			n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: text})
		}
		return n
	}
	for _, test := range []struct {
		name  string
		names pkix.Name
		usage []x509.ExtKeyUsage
		ok    bool
	}{
		{"one name", name("a"), client, true},
		{"no usage", name("a"), nil, false},
		{"no name", pkix.Name{Organization: []string{"o"}}, client, false},
		{"two names", name("a", "b"), client, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := server.Client()
			config.TLS.Certificate = issue(t, ca, test.names, test.usage)
			_, err := kmip.Do(t.Context(), connect(t, config, kmip.V1_4), &kmip.Locate{})
			if test.ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, kmip.AuthenticationNotSuccessful)
			}
		})
	}
	stranger, err := mock.NewPKI()
	require.NoError(t, err)
	config := server.Client()
	config.TLS.Certificate = stranger.Client
	_, err = kmip.Do(t.Context(), connect(t, config, kmip.V1_4), &kmip.Locate{})
	var handshake *kmip.HandshakeError
	require.ErrorAs(t, err, &handshake)
}

func issue(t *testing.T, ca tls.Certificate, subject pkix.Name, usage []x509.ExtKeyUsage) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: subject, ExtKeyUsage: usage,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLSVersions(t *testing.T) {
	server := start(t, mock.Config{})
	for v, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := tlsConfig(server.Client())
		config.MinVersion, config.MaxVersion = v, v
		conn, err := tls.Dial("tcp", server.Addr(), config)
		require.Equal(t, ok, err == nil, "%x: %v", v, err)
		if err == nil {
			conn.Close()
		}
	}
}

// TestPKIMadeByMany has several servers begin in one new directory.
func TestPKIMadeByMany(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	all := make([]*mock.PKI, 8)
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() {
			var err error
			all[i], err = mock.OpenPKI(dir)
			assert.NoError(t, err)
		})
	}
	wait.Wait()
	for _, p := range all {
		require.NotNil(t, p)
		require.True(t, p.Roots.Equal(all[0].Roots))
		require.Equal(t, all[0].Server.Certificate, p.Server.Certificate)
		require.Equal(t, all[0].Client.Certificate, p.Client.Certificate)
	}
}

func TestPKIOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pki")
	_, err := mock.OpenPKI(dir)
	require.NoError(t, err)
	before := make(map[string][]byte)
	for _, name := range []string{"ca", "server", "client", "other-client"} {
		key, err := os.Stat(filepath.Join(dir, name+"-key.pem"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), key.Mode().Perm())
		before[name], err = os.ReadFile(filepath.Join(dir, name+".pem"))
		require.NoError(t, err)
	}
	block, _ := pem.Decode(before["server"])
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		require.NoError(t, cert.VerifyHostname(host))
	}

	require.NoError(t, os.Remove(filepath.Join(dir, "client.pem")))
	_, err = mock.OpenPKI(dir)
	require.NoError(t, err)
	for name, text := range before {
		after, err := os.ReadFile(filepath.Join(dir, name+".pem"))
		require.NoError(t, err)
		require.Equal(t, name == "client", string(text) != string(after), "only what was missing is made")
	}

	require.NoError(t, os.Remove(filepath.Join(dir, "ca-key.pem")))
	_, err = mock.OpenPKI(dir)
	require.NoError(t, err, "nothing has to be issued")
	require.NoError(t, os.Remove(filepath.Join(dir, "client-key.pem")))
	_, err = mock.OpenPKI(dir)
	require.ErrorContains(t, err, "ca-key.pem")
}
