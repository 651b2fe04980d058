package kmip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// TLS says how a client proves who it is and whom it trusts. The server's certificate is always verified.
type TLS struct {
	Certificate  tls.Certificate
	Roots        *x509.CertPool
	ServerName   string   // "" for the host's own name
	MinVersion   uint16   // as in crypto/tls
	CipherSuites []uint16 // of TLS 1.2, nil for Go's secure set
}

// config is the TLS configuration for one host.
func (t *TLS) config(host string) *tls.Config {
	name := t.ServerName
	if name == "" {
		name = host
	}
	return &tls.Config{
		Certificates: []tls.Certificate{t.Certificate},
		RootCAs:      t.Roots,
		ServerName:   name,
		MinVersion:   t.MinVersion,
		CipherSuites: t.CipherSuites,
	}
}

// connect makes sure of a connection: the one that is open, if the server has not left it, or one to the first host that
// can be reached. The error says what every host answered.
func (c *Client) connect(ctx context.Context) error {
	if c.conn != nil && !hungUp(c.conn) {
		return nil
	}
	c.disconnect()
	var failed hostErrors
	for _, address := range c.config.Hosts {
		conn, err := c.dial(ctx, address)
		if err == nil {
			if address != c.server {
				c.meet(address)
			}
			c.conn = conn
			return nil
		}
		failed = append(failed, &TransportError{Server: address, Err: err})
		if ctx.Err() != nil {
			break
		}
	}
	return unreachable(failed)
}

// unreachable is one error for all hosts that failed.
func unreachable(failed hostErrors) error {
	if len(failed) == 1 {
		return failed[0]
	}
	return &TransportError{Server: "any of the hosts", Err: failed}
}

// hostErrors is why each of several hosts could not be reached.
type hostErrors []*TransportError

func (e hostErrors) Error() string {
	if len(e) == 0 {
		return "there are none"
	}
	texts := make([]string, len(e))
	for i, host := range e {
		texts[i] = host.Server + ": " + host.Err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the errors of the hosts, in order.
func (e hostErrors) Unwrap() []error {
	all := make([]error, len(e))
	for i, host := range e {
		all[i] = host
	}
	return all
}

// dial connects to one host, within the connection's own timeout.
func (c *Client) dial(ctx context.Context, address string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.ConnectTimeout)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	dialer := net.Dialer{Deadline: deadline} // without the context, which would take a goroutine
	raw, err := dialer.Dial("tcp", address)
	if err != nil {
		return nil, timeoutOf(ctx, err)
	}
	stop := bound(ctx, raw)
	defer stop()
	conn := tls.Client(raw, c.config.TLS.config(host))
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, c.config.TLS.explain(timeoutOf(ctx, err), conn)
	}
	return conn, nil
}

// hungUp tells whether the server has closed a connection that was idle, or said something unasked, which is the same:
// the next answer read could be one to an earlier request. It looks at what the TLS connection has read already, then at
// what waits in the socket.
func hungUp(conn *tls.Conn) bool {
	_ = conn.SetReadDeadline(past())
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	_ = conn.SetReadDeadline(time.Time{})
	sys, ok := conn.NetConn().(syscall.Conn)
	return !ok || !quiet(sys)
}

// quiet tells whether a socket is open and has nothing to read.
func quiet(sys syscall.Conn) (quiet bool) {
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
		return true
	})
	return err == nil && quiet
}

// HandshakeError is a TLS handshake that failed for a reason that trying again will not mend.
type HandshakeError struct {
	Advice string // what the operator can do
	Err    error
}

func (e *HandshakeError) Error() string { return e.Err.Error() + "; " + e.Advice }

// Unwrap gives the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// isPermanent tells errors that come again however often one tries: of several hosts, where each has one.
func isPermanent(err error) bool {
	var hosts hostErrors
	if errors.As(err, &hosts) {
		return !slices.ContainsFunc(hosts, func(e *TransportError) bool { return !isPermanent(e.Err) })
	}
	var handshake *HandshakeError
	return errors.As(err, &handshake)
}

// explain says what to do about a handshake that failed.
func (t *TLS) explain(err error, conn *tls.Conn) error {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return &HandshakeError{nameAdvice(name.Certificate), err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &HandshakeError{validity(invalid.Cert), err}
	case errors.As(err, &unknown):
		return &HandshakeError{"ca_certs must hold the CA that issued the server's certificate", err}
	case errors.As(err, &verification):
		return &HandshakeError{"the server's certificate cannot be used", err}
	}
	return t.explainAlert(err)
}

// explainAlert says what to do about the server's own complaints (RFC 8446 section 6.2).
func (t *TLS) explainAlert(err error) error {
	if alerted(err, alertHandshakeFailure, alertInsufficientSecurity) {
		return &HandshakeError{"the server accepts none of the suites offered: " + strings.Join(t.offered(), ", ") +
			"; an old server needs its own named in tls_ciphers", err}
	}
	if strings.Contains(err.Error(), "protocol version") {
		return &HandshakeError{"the server speaks no TLS version from tls_min_version on", err}
	}
	return explain(err)
}

// explain says what to do about a server that does not take our certificate; in TLS 1.3 it says so only after the
// handshake.
func explain(err error) error {
	if alerted(err, certificateAlerts[:]...) {
		return &HandshakeError{"the server does not accept the certificate in certfile", err}
	}
	return err
}

// The alerts that say something to an operator (RFC 8446 section 6).
const (
	alertHandshakeFailure     tls.AlertError = 40
	alertInsufficientSecurity tls.AlertError = 71
)

// certificateAlerts are those by which a server refuses a client's certificate: bad, unsupported, revoked, expired or
// unknown certificate, unknown CA, access denied, certificate required.
var certificateAlerts = [...]tls.AlertError{42, 43, 44, 45, 46, 48, 49, 116}

// alerted tells whether the server sent one of these alerts. crypto/tls has a type of its own for them, which it keeps
// to itself, with the texts of [tls.AlertError].
func alerted(err error, alerts ...tls.AlertError) bool {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return false
	}
	return slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return a.Error() == remote.Err.Error() })
}

// offered are the names of the suites that the client offers.
func (t *TLS) offered() []string {
	var names []string
	for _, id := range t.CipherSuites {
		names = append(names, tls.CipherSuiteName(id))
	}
	if names == nil {
		for _, s := range tls.CipherSuites() {
			names = append(names, s.Name)
		}
	}
	return names
}

// nameAdvice says which names a certificate has.
func nameAdvice(cert *x509.Certificate) string {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return fmt.Sprintf("the certificate has no Subject Alternative Name, only the Common Name %q, which is not enough: "+
			"it must be issued anew with a Subject Alternative Name", cert.Subject.CommonName)
	}
	return fmt.Sprintf("the certificate is for %s: use one of these as host, or set server_name = %s",
		strings.Join(names, ", "), names[0])
}

// validity says when a certificate holds.
func validity(cert *x509.Certificate) string {
	return fmt.Sprintf("the server's certificate holds from %s to %s",
		cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
}
