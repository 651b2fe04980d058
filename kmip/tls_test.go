package kmip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// old is a TLS 1.2 suite that Go does not offer unless it is told to.
const old = tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256

// What is wrong with a connection's TLS is told to the operator, with what to do about it, and is not tried again.
func TestHandshakeErrors(t *testing.T) {
	with := func(change func(*x509.Certificate)) func(*tls.Config) {
		return func(c *tls.Config) { c.Certificates = []tls.Certificate{pki().server(change)} }
	}
	foreign := newAuthority()
	stranger := foreign.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}})
	strange := func(c *Config) { c.TLS.Certificate = stranger }
	for _, tt := range []struct {
		name   string
		server func(*tls.Config)
		client func(*Config)
		texts  []string
	}{
		{
			"expired", with(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
			}),
			nil,
			[]string{"the certificate of CN=kms is valid from 2019-01-01T00:00:00Z to 2020-01-01T00:00:00Z"},
		},
		{
			"wrong name", with(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"kms1.example", "kms2.example"}, nil }),
			nil,
			[]string{"the certificate is for kms1.example, kms2.example: use one of these as host, or set server_name = kms1.example"},
		},
		{
			"another server_name", nil,
			func(c *Config) { c.TLS.ServerName = "kms.example" },
			[]string{"the certificate is for localhost, 127.0.0.1: ", "set server_name = localhost"},
		},
		{
			"Common Name alone", with(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }),
			nil,
			[]string{`names no host in its Subject Alternative Name, and its Common Name "kms" is not enough`, "must be reissued"},
		},
		{
			"a pattern alone", with(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"*.example"}, nil }),
			nil,
			[]string{"the certificate is for *.example: use a name that fits *.example as host, or as server_name"},
		},
		{
			"an address as a name", with(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"127.0.0.1"}, nil }),
			nil,
			[]string{"the certificate is for 127.0.0.1: it must be reissued, with IP addresses as IP entries"},
		},
		{
			"many names", with(func(c *x509.Certificate) {
				c.DNSNames, c.IPAddresses = append([]string{"*.example"}, slices.Repeat([]string{"kms.example"}, 2000)...), nil
			}),
			nil,
			[]string{"kms.example and 1991 more: use one of these as host, or set server_name = kms.example"},
		},
		{
			"unknown CA", func(c *tls.Config) { c.Certificates = []tls.Certificate{foreign.server(nil)} },
			nil,
			[]string{"ca_certs must hold the CA that issued the server's certificate"},
		},
		{
			"a client's certificate", with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
			nil,
			[]string{"lacks the extended key usage serverAuth"},
		},
		{
			"no common suite", func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{old} },
			nil,
			[]string{"accepts none of the suites offered: TLS_", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "tls_ciphers"},
		},
		{
			"no common suite, named", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			func(c *Config) { c.TLS.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA256} },
			[]string{"accepts none of the suites offered: TLS_RSA_WITH_AES_128_CBC_SHA256, TLS_AES_128_GCM_SHA256, ", "tls_ciphers"},
		},
		{
			"client refused, TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, strange,
			[]string{"the server does not accept the certificate in certfile"},
		},
		{
			"client refused, TLS 1.3", nil, strange,
			[]string{"the server does not accept the certificate in certfile"},
		},
		{
			"TLS 1.1 alone", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
			nil,
			[]string{"the server speaks neither TLS 1.2 nor TLS 1.3"},
		},
		{
			"TLS 1.2 where 1.3 is asked", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			func(c *Config) { c.TLS.MinVersion = tls.VersionTLS13 },
			[]string{"the server does not speak TLS 1.3: an older one needs tls_min_version = 1.2"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.server, ok)
			_, err := Do(soon(t), client(t, tt.client, s), createAES())
			var advice *HandshakeError
			require.ErrorAs(t, err, &advice)
			for _, text := range tt.texts {
				require.ErrorContains(t, err, text)
			}
			var lost *TransportError
			require.ErrorAs(t, err, &lost)
			require.False(t, lost.Sent || lost.MaybeExecuted, "nothing can have been executed")
			require.Equal(t, s.address, lost.Server)
			require.Equal(t, 1, s.connections())
			requireReadable(t, err)
		})
	}
}

func TestHandshakes(t *testing.T) {
	namesOthers := func(version uint16) func(*tls.Config) {
		return func(c *tls.Config) {
			c.MaxVersion, c.ClientAuth, c.ClientCAs = version, tls.RequireAnyClientCert, newAuthority().pool
		}
	}
	for name, tt := range map[string]struct {
		server func(*tls.Config)
		client func(*Config)
	}{
		"TLS 1.2":             {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, nil},
		"TLS 1.3":             {func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, nil},
		"TLS 1.3 alone":       {nil, func(c *Config) { c.TLS.MinVersion = tls.VersionTLS13 }},
		"an old suite, named": {func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{old} }, func(c *Config) { c.TLS.CipherSuites = []uint16{old} }},
		"a server that does not name our CA, TLS 1.2": {namesOthers(tls.VersionTLS12), nil},
		"a server that does not name our CA, TLS 1.3": {namesOthers(tls.VersionTLS13), nil},
		"a named server": {
			func(c *tls.Config) {
				c.Certificates = []tls.Certificate{pki().server(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"kms.example"}, nil })}
			},
			func(c *Config) { c.TLS.ServerName = "kms.example" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Do(soon(t), client(t, tt.client, serve(t, tt.server, ok)), createAES())
			require.NoError(t, err)
		})
	}
}

// The host's name is sent, for servers that have several certificates; an address is not a name.
func TestServerNameIndication(t *testing.T) {
	names := make(chan string, 2)
	s := serve(t, func(c *tls.Config) {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, nil
		}
	}, ok)
	_, port, err := net.SplitHostPort(s.address)
	require.NoError(t, err)
	for host, want := range map[string]string{"localhost": "localhost", "127.0.0.1": ""} {
		_, err := Do(soon(t), client(t, func(c *Config) { c.Hosts = []string{net.JoinHostPort(host, port)} }), get)
		require.NoError(t, err)
		require.Equal(t, want, <-names)
	}
}

func TestUnusableHost(t *testing.T) {
	_, err := Do(soon(t), client(t, func(c *Config) { c.Hosts = []string{"no port"} }), get)
	require.ErrorContains(t, err, "kmip: cannot reach no port: ")
	requireReadable(t, err)
}

// TestFailedHandshakeIsClosed: a session would run out of sockets by trying a server that it cannot agree with.
func TestFailedHandshakeIsClosed(t *testing.T) {
	s := listen(t, func(_ *server, conn net.Conn) { conn.Close() })
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	defer raw.Close()
	_, err = (&TLS{MinVersion: tls.VersionTLS12}).handshake(soon(t), raw, s.address)
	require.Error(t, err)
	require.ErrorIs(t, raw.SetDeadline(time.Time{}), net.ErrClosed)
}

// TestQuiet: a connection that was reset would be written to, and what was asked be in doubt.
func TestQuiet(t *testing.T) {
	broken, err := os.Open(os.DevNull) // each look at it is an error
	require.NoError(t, err)
	defer broken.Close()
	require.False(t, quiet(broken))
}

// TestWhoseTimeWasShort: connect_timeout would be blamed where the request had no more time.
func TestWhoseTimeWasShort(t *testing.T) {
	for text, by := range map[string]time.Time{"no answer in time": past(), "no answer within connect_timeout (-1 s)": {}} {
		ctx, cancel := (&Config{ConnectTimeout: -time.Second}).attempt(t.Context(), by)
		defer cancel()
		require.EqualError(t, context.Cause(ctx), text)
	}
}

// Every alert that crypto/tls can send is told apart by its text.
func TestAlerts(t *testing.T) {
	for a := range tls.AlertError(128) {
		err := &net.OpError{Op: "remote error", Err: a}
		require.True(t, alerted(err, a))
		require.False(t, alerted(err, a+1))
		require.False(t, alerted(a, a), "one that we sent")
		require.False(t, alerted(&net.OpError{Op: "local error", Err: a}, a), "one that we sent")
	}
}

// TestAdviceOnAlerts: an operator would look in the wrong place, and the client try for ever what cannot succeed.
func TestAdviceOnAlerts(t *testing.T) {
	for advice, alerts := range map[string][]tls.AlertError{
		"the server does not accept the certificate in certfile": {42, 43, 44, 45, 46, 48, 49, 116},
		"the server accepts none of the suites offered":          {40, 71},
		"the server does not know the name it is asked for":      {112},
		"": {10, 47, 80, 90}, // an unexpected message, an illegal parameter, an internal error, a user's leave
	} {
		for _, alert := range alerts {
			err := (&TLS{MinVersion: tls.VersionTLS12}).explain(&net.OpError{Op: "remote error", Err: alert}, false)
			require.ErrorContains(t, err, advice, int(alert))
			require.Equal(t, advice != "", isPermanent(err), int(alert))
		}
	}
}

// TestStrangeNames: a certificate could write to the operator's terminal.
func TestStrangeNames(t *testing.T) {
	cert := &x509.Certificate{DNSNames: []string{"kms.example", "kms\x1b[2J\n"}}
	require.Equal(t, `kms.example, "kms\x1b[2J\n"`, CertificateNames(cert))
}

// TestWhoseCertificateExpired: the server's would be renewed in vain where the CA's above it has expired.
func TestWhoseCertificateExpired(t *testing.T) {
	for _, ca := range []bool{false, true} {
		err := (&TLS{}).explain(x509.CertificateInvalidError{Cert: &x509.Certificate{IsCA: ca}, Reason: x509.Expired}, true)
		require.Equal(t, ca, strings.Contains(err.Error(), "needs this CA's renewed certificate"))
	}
}

// A handshake failure after the handshake is not about our certificate: what was sent before may have been carried out.
func TestLateHandshakeFailure(t *testing.T) {
	c := client(t, func(c *Config) { c.Hosts = []string{"kms.example:5696"} })
	for alert, sent := range map[tls.AlertError]bool{alertHandshakeFailure: true, certificateAlerts[0]: false} {
		c.fresh = true
		var lost *TransportError
		require.ErrorAs(t, c.lost(soon(t), &net.OpError{Op: "remote error", Err: alert}), &lost)
		require.Equal(t, sent, lost.Sent, alert)
	}
}

// OpenSSL says "handshake failure" where it has no suite of the only version offered.
func TestSuitesOffered(t *testing.T) {
	refused := &net.OpError{Op: "remote error", Err: alertHandshakeFailure}
	client := TLS{CipherSuites: []uint16{old}}
	require.ErrorContains(t, client.explain(refused, false), "TLS_CHACHA20_POLY1305_SHA256; for an old server, name its suites in tls_ciphers (TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, ")
	require.ErrorContains(t, client.explain(refused, true), "the server does not accept the certificate in certfile")
	client.MinVersion = tls.VersionTLS13
	require.ErrorContains(t, client.explain(refused, false),
		"suites offered: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256; for an old server, set tls_min_version = 1.2")
}

// TestSuitesOnTheWire: an operator who reads what was offered must not look for what was, or miss it.
func TestSuitesOnTheWire(t *testing.T) {
	for _, client := range []TLS{{}, {CipherSuites: []uint16{old}}, {MinVersion: tls.VersionTLS13}, {MinVersion: tls.VersionTLS13, CipherSuites: []uint16{old}}} {
		ours, theirs := net.Pipe()
		var hello []string
		server := tls.Server(theirs, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			for _, id := range h.CipherSuites {
				hello = append(hello, tls.CipherSuiteName(id))
			}
			return nil, errors.New("seen enough")
		}})
		client.MinVersion = max(client.MinVersion, tls.VersionTLS12)
		go tls.Client(ours, client.config("kms")).Handshake()
		require.Error(t, server.HandshakeContext(soon(t)))
		ours.Close()
		require.ElementsMatch(t, hello, client.offered())
	}
}

// TestNoRoots: to crypto/tls none would be the system's.
func TestNoRoots(t *testing.T) {
	roots := (&TLS{}).config("kms").RootCAs
	require.NotNil(t, roots)
	require.True(t, roots.Equal(x509.NewCertPool()))
}
