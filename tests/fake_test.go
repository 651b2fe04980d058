package tests

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fake is a key manager that misbehaves: what it does with a connection once TLS is up.
type fake func(conn net.Conn)

// serve runs a fake behind TLS until the test ends and returns its address.
func (f fake) serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	return accept(t, listener, f)
}

// accept gives every connection to handle, one after the other, each for a bounded time.
func accept(t *testing.T, listener net.Listener, handle func(net.Conn)) string {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			handle(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

// tlsConfig is that of a decent server with the certificate.
func (p *pki) tlsConfig(t *testing.T, identity pair) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(identity.cert, identity.key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(p.cert)
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
}

// helper calls a server at that address with a client certificate of this authority.
func (p *pki) helper(t *testing.T, address string, options ...string) helper {
	t.Helper()
	client := p.client(t, "client")
	path := filepath.Join(p.dir, "nova.conf")
	writeLines(t, path, append([]string{
		"[kmip]", "host = " + address, "certfile = " + client.cert, "keyfile = " + client.key, "ca_certs = " + p.ca(),
		"retry_interval = 0.05", "connect_timeout = 2", "timeout = 4",
	}, options...)...)
	return helper{configs: []string{path}}
}

// says reads a request and answers with these bytes, whatever was asked.
func says(reply []byte) fake {
	return func(conn net.Conn) {
		if _, err := readMessage(conn); err == nil {
			_, _ = conn.Write(reply)
		}
	}
}

// altering passes requests on to a real server and alters its replies.
func altering(t *testing.T, s *server, alter func(reply []byte) []byte) fake {
	t.Helper()
	dir := filepath.Dir(s.config)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client-key.pem"))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(text))
	config := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots}
	return func(conn net.Conn) {
		upstream, err := tls.Dial("tcp", s.address, config)
		if err != nil {
			return // and the helper's test sees a server that hangs up
		}
		defer upstream.Close()
		_ = upstream.SetDeadline(time.Now().Add(5 * time.Second))
		for relay(conn, upstream) == nil && relay(upstream, conn, alter) == nil {
		}
	}
}

// relay passes one message on, altered.
func relay(from io.Reader, to io.Writer, alter ...func([]byte) []byte) error {
	message, err := readMessage(from)
	if err != nil {
		return err
	}
	for _, f := range alter {
		message = f(message)
	}
	_, err = to.Write(message)
	return err
}

// readMessage reads one TTLV message: tag and type, length, value (KMIP 1.4 section 9.1.1).
func readMessage(r io.Reader) ([]byte, error) {
	header := make([]byte, 8)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[4:])
	if length > 1<<20 {
		return nil, errors.New("no KMIP message")
	}
	message := append(header, make([]byte, length)...)
	_, err := io.ReadFull(r, message[8:])
	return message, err
}
